import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:flutter_webrtc/flutter_webrtc.dart';

import 'signaling.dart';

enum CallState { idle, connecting, connected, reconnecting, ended }

/// One call: placed, trickled, taken up on a new connection when the network changes, ended. The same steps in the same
/// order as examples/mobile/react-native/src/call.js, which the tests run.
class MorganCall {
  MorganCall(this._signaling, this._microphone, {required this.userId, this.conversationId, required this.onState, this.onEvent});

  static const _batch = Duration(milliseconds: 50);
  static const _connectWithin = Duration(seconds: 12);
  static const _giveUp = Duration(seconds: 120);
  static const _pausesMs = [0, 500, 1000, 2000, 4000];

  final Signaling _signaling;
  final MediaStream _microphone;
  final String userId;
  String? conversationId;
  final void Function(CallState state, Object? error) onState;
  final void Function(Map<String, dynamic> event)? onEvent;
  CallState _state = CallState.connecting;
  RTCPeerConnection? _peer;
  RTCDataChannel? _channel;
  String? _callId;
  String _resumeToken = '';
  int _turn = 0;
  bool _reconnecting = false;
  Completer<bool>? _stands;

  Future<void> start() async {
    try {
      await _connect(resumed: false);
    } catch (error) {
      _finish(error);
    }
  }

  /// The phone is on another network now: do not wait until the old path is found dead.
  void networkChanged() {
    if (_state != CallState.ended && _callId != null) unawaited(_reconnect());
  }

  void say(String text) {
    final content = [{'type': 'input_text', 'text': text}];
    _tell({'type': 'conversation.item.create', 'item': {'type': 'message', 'role': 'user', 'content': content}});
    _tell({'type': 'response.create'});
  }

  Future<void> end() async {
    final id = _callId;
    _finish(null);
    if (id != null) await _signaling.hangUp(id).catchError((_) {}); // the server finds out by itself
  }

  void _tell(Map<String, dynamic> event) {
    if (_channel?.state == RTCDataChannelState.RTCDataChannelOpen) _channel!.send(RTCDataChannelMessage(jsonEncode(event)));
  }

  /// The connection before is closed when the server has answered: to close it sooner is to hang up.
  Future<void> _connect({required bool resumed}) async {
    final turn = ++_turn;
    bool mine() => turn == _turn && _state != CallState.ended;
    final servers = await _signaling.iceServers();
    if (!mine()) return;
    final (channelBefore, peerBefore) = (_channel, _peer);
    final peer = await createPeerConnection({'iceServers': servers, 'bundlePolicy': 'max-bundle', 'sdpSemantics': 'unified-plan'});
    if (!mine()) return peer.close();
    _peer = peer;
    for (final track in _microphone.getAudioTracks()) {
      await peer.addTrack(track, _microphone);
    }
    final channel = _channel = await peer.createDataChannel('oai-events', RTCDataChannelInit());
    channel.onMessage = (message) => mine() ? onEvent?.call(jsonDecode(message.text) as Map<String, dynamic>) : null;
    final found = <Map<String, dynamic>>[];
    var known = false;
    Timer? soon;
    void send() {
      if (!known || found.isEmpty || soon != null) return;
      soon = Timer(_batch, () {
        soon = null;
        if (!mine()) return;
        final batch = [...found];
        found.clear();
        // Checks from our side reach the server all the same.
        if (_callId case final id?) unawaited(_signaling.trickle(id, batch).catchError((_) {}));
      });
    }

    peer.onIceCandidate = (each) {
      if (each.candidate == null) return;
      found.add({'candidate': each.candidate, 'sdpMid': each.sdpMid, 'sdpMLineIndex': each.sdpMLineIndex});
      send();
    };
    peer.onConnectionState = (state) => mine() ? _changed(state) : null;
    final offer = await peer.createOffer();
    await peer.setLocalDescription(offer);
    final String answer;
    try {
      answer = resumed ? await _signaling.resume(_callId!, _resumeToken, offer.sdp!) : await _placed(offer.sdp!);
    } on SignalingError {
      if (mine()) (_channel, _peer) = (channelBefore, peerBefore);
      await peer.close();
      rethrow;
    }
    await channelBefore?.close();
    await peerBefore?.close();
    if (!mine()) return peer.close();
    await peer.setRemoteDescription(RTCSessionDescription(answer, 'answer'));
    known = true;
    send();
  }

  Future<String> _placed(String sdp) async {
    final placed = await _place(sdp);
    if (_state == CallState.ended) {
      // Hung up while the server answered: it must not keep the line.
      await _signaling.hangUp(placed['call_id'] as String).catchError((_) {});
    } else {
      _callId = placed['call_id'] as String;
      _resumeToken = placed['resume_token'] as String;
      conversationId = placed['conversation_id'] as String;
    }
    return placed['sdp'] as String;
  }

  Future<Map<String, dynamic>> _place(String sdp) async {
    try {
      return await _signaling.create(sdp, userId: userId, conversationId: conversationId);
    } on SignalingError catch (error) {
      if (error.status != 404 || conversationId == null) rethrow;
      conversationId = null; // it was deleted, or nothing was said in it
      return _signaling.create(sdp, userId: userId);
    }
  }

  void _changed(RTCPeerConnectionState state) {
    switch (state) {
      case RTCPeerConnectionState.RTCPeerConnectionStateConnected:
        _told(true);
        _show(CallState.connected);
      case RTCPeerConnectionState.RTCPeerConnectionStateFailed || RTCPeerConnectionState.RTCPeerConnectionStateDisconnected:
        _told(false);
        if (_callId != null) unawaited(_reconnect());
      default:
        break;
    }
  }

  void _told(bool stands) {
    if (!(_stands?.isCompleted ?? true)) _stands!.complete(stands);
  }

  Future<void> _reconnect() async {
    if (_reconnecting) return _told(false); // begin anew at once: the network has changed once more
    _reconnecting = true;
    _show(CallState.reconnecting);
    final since = Stopwatch()..start();
    try {
      for (var tries = 0; _state != CallState.ended; tries++) {
        await Future<void>.delayed(Duration(milliseconds: _pausesMs[min(tries, _pausesMs.length - 1)]));
        if (_state == CallState.ended) return;
        if (since.elapsed > _giveUp) return _finish(SignalingError(0, 'lost', 'The network did not come back.'));
        if (await _oneMoreTry()) return;
      }
    } finally {
      _reconnecting = false;
    }
  }

  /// Whether there is nothing more to try.
  Future<bool> _oneMoreTry() async {
    final stands = _stands = Completer<bool>();
    try {
      try {
        await _connect(resumed: true);
      } on SignalingError catch (error) {
        if (error.status != 404) rethrow;
        await _connect(resumed: false); // the server has lost the call: the conversation goes on in a new one
      }
      return await stands.future.timeout(_connectWithin, onTimeout: () => false);
    } on SignalingError catch (error) {
      if (error.status != 401 && error.status != 403) return false; // no network yet, a full or a restarting server
      _finish(error);
      return true;
    } finally {
      _stands = null;
    }
  }

  void _show(CallState state, [Object? error]) {
    if (_state == state || _state == CallState.ended) return;
    _state = state;
    onState(state, error);
  }

  void _finish(Object? error) {
    if (_state == CallState.ended) return;
    _turn++;
    _told(false);
    unawaited(_close());
    _show(CallState.ended, error);
  }

  Future<void> _close() async {
    final (channel, peer) = (_channel, _peer);
    _channel = null;
    _peer = null;
    await channel?.close();
    await peer?.close();
  }
}
