import 'dart:async';
import 'dart:convert';

import 'package:http/http.dart' as http;

/// A request that did not end well; [status] is 0 where no answer came.
class SignalingError implements Exception {
  SignalingError(this.status, this.code, this.message, [this.retryAfterS]);

  final int status;
  final String code;
  final String message;
  final int? retryAfterS;

  @override
  String toString() => message;
}

/// The HTTP half of a call: every request to Morgan (docs/signaling.md).
class Signaling {
  /// [server] is the address of Morgan; [token] a join token ("mt_...", good once, exchanged for a session of some hours), a
  /// key, or null.
  Signaling(this.server, [this.token]);

  static const _join = 'mt_';
  static const _timeout = Duration(seconds: 10);

  final String server;
  final String? token;
  final http.Client _http = http.Client();
  Future<Map<String, dynamic>>? _session;
  List<dynamic> _iceServers = [];
  DateTime? _iceServersUntil;

  Future<Map<String, dynamic>> create(String sdp, {String? userId, String? conversationId, String? language}) async {
    final user = (await _authorised())?['user_id'] ?? userId; // a join token says who its holder is
    final body = {'sdp': sdp, 'type': 'offer', 'user_id': user, 'conversation_id': conversationId, 'language': language};
    return _request('POST', '/api/calls', body..removeWhere((_, value) => value == null));
  }

  /// Each of [candidates] has candidate, sdpMid and sdpMLineIndex.
  Future<void> trickle(String callId, List<Map<String, dynamic>> candidates) =>
      _request('PATCH', _path(callId), {'candidates': candidates});

  /// The same call on a new connection; the answer's SDP.
  Future<String> resume(String callId, String resumeToken, String sdp) async {
    final body = {'sdp': sdp, 'type': 'offer', 'resume_token': resumeToken};
    return (await _request('PATCH', _path(callId), body))['sdp'] as String;
  }

  Future<void> hangUp(String callId) => _request('DELETE', _path(callId));

  /// As createPeerConnection takes them: TURN servers, where Morgan has any. Asked for anew when half of their time is over.
  Future<List<dynamic>> iceServers() async {
    final until = _iceServersUntil;
    if (until == null || !DateTime.now().isBefore(until)) {
      final answer = await _request('GET', '/api/ice-servers');
      final ttl = answer['ttl_s'] as num?;
      _iceServers = answer['ice_servers'] as List<dynamic>;
      _iceServersUntil = ttl == null ? DateTime(9999) : DateTime.now().add(Duration(milliseconds: (ttl * 500).round()));
    }
    return _iceServers;
  }

  String _path(String callId) => '/api/calls/${Uri.encodeComponent(callId)}';

  /// One exchange, however many ask at once; tried again where it found no server.
  Future<Map<String, dynamic>?> _authorised() async {
    final given = token;
    if (given == null) return null;
    if (!given.startsWith(_join)) return {'token': given};
    final exchange = _session ??= _send('POST', '/api/tokens/exchange', null, given);
    try {
      return await exchange;
    } catch (_) {
      _session = null;
      rethrow;
    }
  }

  Future<Map<String, dynamic>> _request(String method, String path, [Map<String, dynamic>? body]) async =>
      _send(method, path, body, (await _authorised())?['token'] as String?);

  Future<Map<String, dynamic>> _send(String method, String path, Map<String, dynamic>? body, String? bearer) async {
    final root = server.endsWith('/') ? server.substring(0, server.length - 1) : server;
    final request = http.Request(method, Uri.parse('$root$path'));
    if (bearer != null) request.headers['Authorization'] = 'Bearer $bearer';
    if (body != null) {
      request.headers['Content-Type'] = 'application/json';
      request.body = jsonEncode(body);
    }
    final http.Response response;
    try {
      response = await http.Response.fromStream(await _http.send(request).timeout(_timeout)).timeout(_timeout);
    } on Exception {
      throw SignalingError(0, 'unreachable', 'No answer from the server.');
    }
    Map<String, dynamic> answer;
    try {
      answer = response.body.isEmpty ? {} : jsonDecode(response.body) as Map<String, dynamic>;
    } on FormatException {
      answer = {}; // a proxy's error page: its status says enough
    }
    if (response.statusCode ~/ 100 == 2) return answer;
    final error = answer['error'] as Map<String, dynamic>? ?? {};
    throw SignalingError(
      response.statusCode,
      error['code'] as String? ?? 'http_${response.statusCode}',
      error['message'] as String? ?? 'The server answered ${response.statusCode}.',
      int.tryParse(response.headers['retry-after'] ?? ''), // Retry-After
    );
  }
}
