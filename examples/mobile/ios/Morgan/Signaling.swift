import Foundation

/// A request that did not end well; `status` is 0 where no answer came.
struct SignalingError: LocalizedError {
    let status: Int
    let code: String
    let message: String
    var retryAfterS: Int?

    var errorDescription: String? { message }
}

struct Placed: Decodable {
    let call_id: String
    let sdp: String
    let conversation_id: String
    let resume_token: String
}

struct FoundCandidate: Encodable {
    let candidate: String
    let sdpMid: String?
    let sdpMLineIndex: Int32
}

struct IceServer: Decodable {
    let urls: [String]
    let username: String?
    let credential: String?
}

/// The HTTP half of a call: every request to Morgan (docs/signaling.md).
actor Signaling {
    private static let join = "mt_"
    private let server: URL
    private let token: String?
    private var session: Task<Session, Error>?
    private var servers: [IceServer] = []
    private var serversUntil = Date.distantPast
    private let http: URLSession

    /// - Parameters:
    ///   - server: address of Morgan, such as https://morgan.example.org
    ///   - token: a join token ("mt_...", good once, exchanged for a session of some hours), a key, or nil
    init(server: URL, token: String?) {
        self.server = server
        self.token = token
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = 10
        http = URLSession(configuration: configuration)
    }

    func create(sdp: String, userId: String?, conversationId: String?, language: String? = nil) async throws -> Placed {
        var body = ["sdp": sdp, "type": "offer"]
        body["user_id"] = try await authorised()?.user_id ?? userId // a join token says who its holder is
        body["conversation_id"] = conversationId
        body["language"] = language
        return try decode(Placed.self, try await request("POST", "/api/calls", JSONEncoder().encode(body)))
    }

    func trickle(callId: String, candidates: [FoundCandidate]) async throws {
        _ = try await request("PATCH", path(callId), JSONEncoder().encode(["candidates": candidates]))
    }

    /// The same call on a new connection; the answer's SDP.
    func resume(callId: String, resumeToken: String, sdp: String) async throws -> String {
        struct Moved: Decodable { let sdp: String }
        let body = ["sdp": sdp, "type": "offer", "resume_token": resumeToken]
        return try decode(Moved.self, try await request("PATCH", path(callId), JSONEncoder().encode(body))).sdp
    }

    func hangUp(callId: String) async throws {
        _ = try await request("DELETE", path(callId))
    }

    /// TURN servers, where Morgan has any. Asked for anew when half of their time is over.
    func iceServers() async throws -> [IceServer] {
        struct Servers: Decodable {
            let ice_servers: [IceServer]
            let ttl_s: Double?
        }
        if Date() >= serversUntil {
            let answer = try decode(Servers.self, try await request("GET", "/api/ice-servers"))
            servers = answer.ice_servers
            serversUntil = answer.ttl_s.map { Date(timeIntervalSinceNow: $0 / 2) } ?? .distantFuture
        }
        return servers
    }

    private struct Session: Decodable {
        let token: String
        var user_id: String?
    }

    private func path(_ callId: String) -> String {
        "/api/calls/" + (callId.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(.init(charactersIn: "_-"))) ?? callId)
    }

    private func authorised() async throws -> Session? {
        guard let token else { return nil }
        guard token.hasPrefix(Self.join) else { return Session(token: token) }
        // One exchange, however many ask at once; tried again where it found no server.
        let exchange = session ?? Task {
            try decode(Session.self, try await send("POST", "/api/tokens/exchange", nil, token))
        }
        session = exchange
        do {
            return try await exchange.value
        } catch {
            session = nil
            throw error
        }
    }

    private func request(_ method: String, _ path: String, _ body: Data? = nil) async throws -> Data {
        try await send(method, path, body, try await authorised()?.token)
    }

    private func send(_ method: String, _ path: String, _ body: Data?, _ bearer: String?) async throws -> Data {
        let root = server.absoluteString.hasSuffix("/") ? String(server.absoluteString.dropLast()) : server.absoluteString
        guard let url = URL(string: root + path) else { throw SignalingError(status: 0, code: "bad_address", message: "The server's address is none.") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.httpBody = body
        if body != nil { request.setValue("application/json", forHTTPHeaderField: "Content-Type") }
        if let bearer { request.setValue("Bearer \(bearer)", forHTTPHeaderField: "Authorization") }
        let data: Data
        let response: URLResponse
        do {
            (data, response) = try await http.data(for: request)
        } catch {
            throw SignalingError(status: 0, code: "unreachable", message: "No answer from the server.")
        }
        guard let answer = response as? HTTPURLResponse else { return data }
        if (200 ..< 300).contains(answer.statusCode) { return data }
        struct Failure: Decodable {
            struct Inner: Decodable { let code: String; let message: String }
            let error: Inner
        }
        let told = try? JSONDecoder().decode(Failure.self, from: data).error
        throw SignalingError(
            status: answer.statusCode,
            code: told?.code ?? "http_\(answer.statusCode)",
            message: told?.message ?? "The server answered \(answer.statusCode).",
            retryAfterS: answer.value(forHTTPHeaderField: "Retry-After").flatMap(Int.init)
        )
    }

    private nonisolated func decode<T: Decodable>(_ type: T.Type, _ data: Data) throws -> T {
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch {
            throw SignalingError(status: 0, code: "bad_answer", message: "The server's answer could not be read.")
        }
    }
}
