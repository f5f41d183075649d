import AVFoundation
import Network
import SwiftUI
import WebRTC

let server = URL(string: "https://morgan.example.org")!

@main
struct MorganApp: App {
    @StateObject private var phone = Phone()

    var body: some Scene {
        WindowGroup {
            VStack(spacing: 24) {
                Button(phone.label) { phone.toggle() }
                    .font(.title2)
                    .frame(width: 200, height: 200)
                    .background(Circle().fill(Color(red: 0.05, green: 0.49, blue: 0.4)))
                    .foregroundStyle(.white)
                Text(phone.problem)
            }
            // A link morgan://join?token=mt_... makes whoever opens it a caller.
            .onOpenURL { phone.join($0) }
        }
    }
}

/// The app's one call, and what the system does to it.
@MainActor
final class Phone: ObservableObject {
    @Published private(set) var state = CallState.idle
    @Published private(set) var problem = ""
    private let factory = RTCPeerConnectionFactory()
    private let paths = NWPathMonitor()
    private var token: String?
    private var call: MorganCall?
    private var audio: CallAudio?
    private var microphone: RTCAudioTrack?
    private var path: String?

    var label: String {
        switch state {
        case .idle: "Call"
        case .ended: "Call again"
        case .connecting: "Connecting"
        case .reconnecting: "Reconnecting"
        case .connected: "Hang up"
        }
    }

    init() {
        // Wi-Fi to mobile data or back: the call moves at once, not when the old path is found dead.
        paths.pathUpdateHandler = { [weak self] now in
            let name = now.status == .satisfied ? now.availableInterfaces.first?.name : nil
            Task { @MainActor in self?.moved(to: name) }
        }
        paths.start(queue: .main)
    }

    func join(_ link: URL) {
        token = URLComponents(url: link, resolvingAgainstBaseURL: false)?.queryItems?.first { $0.name == "token" }?.value ?? token
    }

    func toggle() {
        if let call { return call.end() }
        problem = ""
        state = .connecting
        AVAudioSession.sharedInstance().requestRecordPermission { granted in
            Task { @MainActor in
                if granted { self.place() } else { self.over(SignalingError(status: 0, code: "microphone", message: "Morgan needs the microphone.")) }
            }
        }
    }

    private func place() {
        let track = factory.audioTrack(with: factory.audioSource(with: nil), trackId: "microphone")
        // While a phone call or Siri has the sound, Morgan hears nothing and waits.
        let sound = CallAudio { track.isEnabled = !$0 }
        do {
            try sound.begin()
        } catch {
            return over(error)
        }
        let made = MorganCall(
            factory: factory, microphone: track, signaling: Signaling(server: server, token: token), userId: "phone",
            onState: { [weak self] state, error in
                self?.state = state
                if state == .ended { self?.over(error) }
            }
        )
        (microphone, audio, call) = (track, sound, made)
        Task { await made.start() }
    }

    private func moved(to name: String?) {
        if let name, let path, name != path { call?.networkChanged() }
        path = name ?? ""
    }

    private func over(_ error: Error?) {
        state = .ended
        problem = error?.localizedDescription ?? ""
        audio?.end()
        (microphone, audio, call) = (nil, nil, nil)
    }
}
