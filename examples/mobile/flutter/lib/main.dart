import 'dart:async';
import 'dart:io';

import 'package:app_links/app_links.dart';
import 'package:audio_session/audio_session.dart';
import 'package:connectivity_plus/connectivity_plus.dart';
import 'package:flutter/material.dart';
import 'package:flutter_background/flutter_background.dart';
import 'package:flutter_webrtc/flutter_webrtc.dart';

import 'call.dart';
import 'signaling.dart';

const server = 'https://morgan.example.org';
const words = {
  CallState.idle: 'Call',
  CallState.connecting: 'Connecting',
  CallState.connected: 'Hang up',
  CallState.reconnecting: 'Reconnecting',
  CallState.ended: 'Call again',
};

void main() => runApp(const MaterialApp(home: Phone()));

/// One button, and what the system does to a call.
class Phone extends StatefulWidget {
  const Phone({super.key});

  @override
  State<Phone> createState() => _PhoneState();
}

class _PhoneState extends State<Phone> {
  CallState _state = CallState.idle;
  String _problem = '';
  String? _token;
  MorganCall? _call;
  MediaStream? _microphone;
  Set<ConnectivityResult>? _networks;
  final _listening = <StreamSubscription<Object?>>[];

  @override
  void initState() {
    super.initState();
    // A link morgan://join?token=mt_... makes whoever opens it a caller.
    _listening.add(AppLinks().uriLinkStream.listen((link) => _token = link.queryParameters['token'] ?? _token));
    // Wi-Fi to mobile data or back: the call moves at once, not when the old path is found dead.
    _listening.add(Connectivity().onConnectivityChanged.listen((networks) {
      final now = {...networks}..remove(ConnectivityResult.none);
      final before = _networks;
      _networks = now;
      final same = before != null && before.length == now.length && before.containsAll(now);
      if (before != null && now.isNotEmpty && !same) _call?.networkChanged();
    }));
  }

  @override
  void dispose() {
    for (final each in _listening) {
      unawaited(each.cancel());
    }
    unawaited(_call?.end());
    super.dispose();
  }

  Future<void> _toggle() async {
    final running = _call;
    if (running != null) return running.end();
    setState(() => (_state, _problem) = (CallState.connecting, ''));
    try {
      final microphone = _microphone = await navigator.mediaDevices.getUserMedia({'audio': true, 'video': false});
      await _takeTheSound(microphone);
      await _holdTheBackground();
      final made = _call = MorganCall(Signaling(server, _token), microphone, userId: 'phone', onState: _changed);
      await made.start();
    } catch (error) {
      _changed(CallState.ended, error);
    }
  }

  /// For speech, to Bluetooth where there is one; while a phone call or Siri has the sound, Morgan hears nothing and waits.
  Future<void> _takeTheSound(MediaStream microphone) async {
    final session = await AudioSession.instance;
    await session.configure(const AudioSessionConfiguration.speech().copyWith(
      avAudioSessionCategory: AVAudioSessionCategory.playAndRecord,
      avAudioSessionCategoryOptions: AVAudioSessionCategoryOptions.allowBluetooth | AVAudioSessionCategoryOptions.defaultToSpeaker,
      avAudioSessionMode: AVAudioSessionMode.voiceChat,
      androidAudioAttributes: const AndroidAudioAttributes(
        contentType: AndroidAudioContentType.speech,
        usage: AndroidAudioUsage.voiceCommunication,
      ),
      androidAudioFocusGainType: AndroidAudioFocusGainType.gainTransientExclusive,
    ));
    if (!await session.setActive(true)) throw SignalingError(0, 'microphone', 'Another call has the microphone.');
    _listening.add(session.interruptionEventStream.listen((event) {
      for (final track in microphone.getAudioTracks()) {
        track.enabled = !event.begin;
      }
      if (!event.begin) unawaited(session.setActive(true));
    }));
    if (Platform.isAndroid) await Helper.setSpeakerphoneOnButPreferBluetooth();
  }

  /// Android keeps a microphone in the background only for an app that shows so; iOS by UIBackgroundModes in Info.plist.
  Future<void> _holdTheBackground() async {
    if (!Platform.isAndroid) return;
    const shown = FlutterBackgroundAndroidConfig(notificationTitle: 'Morgan', notificationText: 'In a call');
    if (await FlutterBackground.initialize(androidConfig: shown)) await FlutterBackground.enableBackgroundExecution();
  }

  void _changed(CallState state, Object? error) {
    if (!mounted) return;
    setState(() => (_state, _problem) = (state, error?.toString() ?? ''));
    if (state != CallState.ended) return;
    _call = null;
    for (final track in _microphone?.getTracks() ?? <MediaStreamTrack>[]) {
      unawaited(track.stop());
    }
    _microphone = null;
    unawaited(AudioSession.instance.then((session) => session.setActive(false)));
    if (Platform.isAndroid && FlutterBackground.isBackgroundExecutionEnabled) {
      unawaited(FlutterBackground.disableBackgroundExecution());
    }
  }

  @override
  Widget build(BuildContext context) => Scaffold(
        body: Center(
          child: Column(mainAxisAlignment: MainAxisAlignment.center, children: [
            FilledButton(
              style: FilledButton.styleFrom(fixedSize: const Size(200, 200), shape: const CircleBorder()),
              onPressed: _toggle,
              child: Text(words[_state]!),
            ),
            Padding(padding: const EdgeInsets.all(24), child: Text(_problem)),
          ]),
        ),
      );
}
