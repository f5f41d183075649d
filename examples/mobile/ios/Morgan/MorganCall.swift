import Foundation
import WebRTC

enum CallState: String { case idle, connecting, connected, reconnecting, ended }

/// One call: placed, trickled, taken up on a new connection when the network changes, ended. The same steps in the same
/// order as examples/mobile/react-native/src/call.js, which the tests run.
@MainActor
final class MorganCall: NSObject {
    private static let batchNs: UInt64 = 50_000_000
    private static let connectS: TimeInterval = 12
    private static let giveUpS: TimeInterval = 120
    private static let pausesNs: [UInt64] = [0, 500_000_000, 1_000_000_000, 2_000_000_000, 4_000_000_000]

    private let factory: RTCPeerConnectionFactory
    private let microphone: RTCAudioTrack
    private let signaling: Signaling
    private let userId: String
    private let onState: (CallState, Error?) -> Void
    private let onEvent: ([String: Any]) -> Void
    private var state = CallState.connecting
    private var connection: Connection?
    private var callId: String?
    private var resumeToken = ""
    private var conversationId: String?
    private var reconnecting = false
    private var stands: ((Bool) -> Void)?

    init(
        factory: RTCPeerConnectionFactory, microphone: RTCAudioTrack, signaling: Signaling, userId: String, conversationId: String? = nil,
        onState: @escaping (CallState, Error?) -> Void, onEvent: @escaping ([String: Any]) -> Void = { _ in }
    ) {
        self.factory = factory
        self.microphone = microphone
        self.signaling = signaling
        self.userId = userId
        self.conversationId = conversationId
        self.onState = onState
        self.onEvent = onEvent
    }

    func start() async {
        do {
            try await connect(resumed: false)
        } catch {
            finish(error)
        }
    }

    /// The phone is on another network now: do not wait until the old path is found dead.
    func networkChanged() {
        if state != .ended, callId != nil { reconnect() }
    }

    func say(_ text: String) {
        let item: [String: Any] = ["type": "message", "role": "user", "content": [["type": "input_text", "text": text]]]
        tell(["type": "conversation.item.create", "item": item])
        tell(["type": "response.create"])
    }

    func end() {
        let id = callId
        finish(nil)
        if let id { Task { try? await signaling.hangUp(callId: id) } } // the server finds out by itself
    }

    private func tell(_ event: [String: Any]) {
        guard let channel = connection?.channel, channel.readyState == .open,
              let data = try? JSONSerialization.data(withJSONObject: event) else { return }
        channel.sendData(RTCDataBuffer(data: data, isBinary: false))
    }

    /// The connection before is closed when the server has answered: to close it sooner is to hang up.
    private func connect(resumed: Bool) async throws {
        let servers = try await signaling.iceServers()
        guard state != .ended else { return }
        let before = connection
        guard let made = Connection(factory: factory, microphone: microphone, servers: servers) else {
            throw SignalingError(status: 0, code: "no_webrtc", message: "No connection could be made.")
        }
        connection = made
        var waiting: [FoundCandidate] = []
        var known = false
        var sending = false
        func send() {
            guard known, !sending, !waiting.isEmpty, let callId else { return }
            sending = true
            Task { @MainActor in
                try? await Task.sleep(nanoseconds: Self.batchNs)
                guard state != .ended else { return }
                let batch = waiting
                waiting = []
                try? await signaling.trickle(callId: callId, candidates: batch) // checks reach the server all the same
                sending = false
                send()
            }
        }
        made.onCandidate = { candidate in
            waiting.append(FoundCandidate(candidate: candidate.sdp, sdpMid: candidate.sdpMid, sdpMLineIndex: candidate.sdpMLineIndex))
            send()
        }
        made.onChange = { [weak self, weak made] change in
            if let self, let made, self.connection === made { self.changed(change) }
        }
        made.onMessage = { [weak self] in self?.onEvent($0) }
        let sdp = try await made.offer()
        let answer: String
        do {
            answer = try await resumed ? signaling.resume(callId: callId ?? "", resumeToken: resumeToken, sdp: sdp) : placed(sdp)
        } catch {
            made.close()
            if connection === made { connection = before }
            throw error
        }
        before?.close()
        guard connection === made else { return made.close() }
        try await made.accept(answer)
        known = true
        send()
    }

    private func placed(_ sdp: String) async throws -> String {
        let placed = try await place(sdp)
        if state == .ended {
            // Hung up while the server answered: it must not keep the line.
            try? await signaling.hangUp(callId: placed.call_id)
        } else {
            (callId, resumeToken, conversationId) = (placed.call_id, placed.resume_token, placed.conversation_id)
        }
        return placed.sdp
    }

    private func place(_ sdp: String) async throws -> Placed {
        do {
            return try await signaling.create(sdp: sdp, userId: userId, conversationId: conversationId)
        } catch let error as SignalingError where error.status == 404 && conversationId != nil {
            conversationId = nil // it was deleted, or nothing was said in it
            return try await signaling.create(sdp: sdp, userId: userId, conversationId: nil)
        }
    }

    private func changed(_ change: RTCPeerConnectionState) {
        switch change {
        case .connected:
            stands?(true)
            show(.connected)
        case .failed, .disconnected:
            stands?(false)
            if callId != nil { reconnect() }
        default:
            break
        }
    }

    private func reconnect() {
        guard !reconnecting else {
            stands?(false) // begin anew at once: the network has changed once more
            return
        }
        reconnecting = true
        show(.reconnecting)
        let giveUpAt = Date(timeIntervalSinceNow: Self.giveUpS)
        Task { @MainActor in
            defer { reconnecting = false }
            var tries = 0
            while state != .ended {
                try? await Task.sleep(nanoseconds: Self.pausesNs[min(tries, Self.pausesNs.count - 1)])
                tries += 1
                if Date() > giveUpAt {
                    return finish(SignalingError(status: 0, code: "lost", message: "The network did not come back."))
                }
                if await oneMoreTry() { return }
            }
        }
    }

    /// Whether there is nothing more to try.
    private func oneMoreTry() async -> Bool {
        let outcome = AsyncStream<Bool> { told in
            stands = { told.yield($0) }
            Task {
                try? await Task.sleep(nanoseconds: UInt64(Self.connectS * 1e9))
                told.yield(false)
            }
        }
        defer { stands = nil }
        do {
            do {
                try await connect(resumed: true)
            } catch let error as SignalingError where error.status == 404 {
                try await connect(resumed: false) // the server has lost the call: the conversation goes on in a new one
            }
            for await standing in outcome { return standing }
            return false
        } catch let error as SignalingError where error.status == 401 || error.status == 403 {
            finish(error)
            return true
        } catch {
            return false // no network yet, a full or a restarting server
        }
    }

    private func show(_ new: CallState, _ error: Error? = nil) {
        guard state != new, state != .ended else { return }
        state = new
        onState(new, error)
    }

    private func finish(_ error: Error?) {
        guard state != .ended else { return }
        stands?(false)
        connection?.close()
        connection = nil
        show(.ended, error)
    }
}

/// One RTCPeerConnection, whose delegates come back on the main thread.
private final class Connection: NSObject, RTCPeerConnectionDelegate, RTCDataChannelDelegate {
    var onCandidate: (RTCIceCandidate) -> Void = { _ in }
    var onChange: (RTCPeerConnectionState) -> Void = { _ in }
    var onMessage: ([String: Any]) -> Void = { _ in }
    private(set) var channel: RTCDataChannel?
    private var peer: RTCPeerConnection?

    init?(factory: RTCPeerConnectionFactory, microphone: RTCAudioTrack, servers: [IceServer]) {
        super.init()
        let configuration = RTCConfiguration()
        configuration.sdpSemantics = .unifiedPlan
        configuration.bundlePolicy = .maxBundle
        configuration.iceServers = servers.map {
            RTCIceServer(urlStrings: $0.urls, username: $0.username, credential: $0.credential)
        }
        let constraints = RTCMediaConstraints(mandatoryConstraints: nil, optionalConstraints: nil)
        guard let made = factory.peerConnection(with: configuration, constraints: constraints, delegate: self) else { return nil }
        made.add(microphone, streamIds: ["morgan"])
        channel = made.dataChannel(forLabel: "oai-events", configuration: RTCDataChannelConfiguration())
        channel?.delegate = self
        peer = made
    }

    func offer() async throws -> String {
        guard let peer else { throw CancellationError() }
        let made = try await peer.offer(for: RTCMediaConstraints(mandatoryConstraints: nil, optionalConstraints: nil))
        try await peer.setLocalDescription(made)
        return made.sdp
    }

    func accept(_ sdp: String) async throws {
        try await peer?.setRemoteDescription(RTCSessionDescription(type: .answer, sdp: sdp))
    }

    func close() {
        channel?.delegate = nil
        peer?.delegate = nil
        peer?.close()
        peer = nil
    }

    func peerConnection(_: RTCPeerConnection, didGenerate candidate: RTCIceCandidate) {
        DispatchQueue.main.async { self.onCandidate(candidate) }
    }

    func peerConnection(_: RTCPeerConnection, didChange newState: RTCPeerConnectionState) {
        DispatchQueue.main.async { self.onChange(newState) }
    }

    func dataChannel(_: RTCDataChannel, didReceiveMessageWith buffer: RTCDataBuffer) {
        guard let event = try? JSONSerialization.jsonObject(with: buffer.data) as? [String: Any] else { return }
        DispatchQueue.main.async { self.onMessage(event) }
    }

    func dataChannelDidChangeState(_: RTCDataChannel) {}
    func peerConnection(_: RTCPeerConnection, didChange _: RTCSignalingState) {}
    func peerConnection(_: RTCPeerConnection, didAdd _: RTCMediaStream) {}
    func peerConnection(_: RTCPeerConnection, didRemove _: RTCMediaStream) {}
    func peerConnectionShouldNegotiate(_: RTCPeerConnection) {}
    func peerConnection(_: RTCPeerConnection, didChange _: RTCIceConnectionState) {}
    func peerConnection(_: RTCPeerConnection, didChange _: RTCIceGatheringState) {}
    func peerConnection(_: RTCPeerConnection, didRemove _: [RTCIceCandidate]) {}
    func peerConnection(_: RTCPeerConnection, didOpen _: RTCDataChannel) {}
}
