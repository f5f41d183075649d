import AVFoundation
import WebRTC

/// The phone's sound for the length of a call: for speech, to a Bluetooth or wired headset where there is one and to the
/// loudspeaker else; taken by a phone call, Siri or an alarm, and given back.
@MainActor
final class CallAudio {
    private let interrupted: (Bool) -> Void
    private let session = RTCAudioSession.sharedInstance()
    private var watching: [NSObjectProtocol] = []

    /// - Parameter interrupted: somebody else has the microphone (true), and gives it back (false)
    init(interrupted: @escaping (Bool) -> Void) {
        self.interrupted = interrupted
    }

    func begin() throws {
        let wanted = RTCAudioSessionConfiguration.webRTC()
        wanted.category = AVAudioSession.Category.playAndRecord.rawValue
        wanted.mode = AVAudioSession.Mode.voiceChat.rawValue
        wanted.categoryOptions = [.allowBluetooth, .allowBluetoothA2DP, .defaultToSpeaker, .duckOthers]
        RTCAudioSessionConfiguration.setWebRTC(wanted)
        session.lockForConfiguration()
        defer { session.unlockForConfiguration() }
        try session.setConfiguration(wanted, active: true)
        let center = NotificationCenter.default
        watching = [
            center.addObserver(forName: AVAudioSession.interruptionNotification, object: nil, queue: .main) { [weak self] note in
                let kind = (note.userInfo?[AVAudioSessionInterruptionTypeKey] as? UInt).flatMap(AVAudioSession.InterruptionType.init)
                MainActor.assumeIsolated { self?.told(kind) }
            },
            center.addObserver(forName: AVAudioSession.mediaServicesWereResetNotification, object: nil, queue: .main) { [weak self] _ in
                MainActor.assumeIsolated { self?.told(.ended) }
            },
        ]
    }

    func end() {
        watching.forEach(NotificationCenter.default.removeObserver)
        watching = []
        session.lockForConfiguration()
        try? session.setActive(false)
        session.unlockForConfiguration()
    }

    private func told(_ kind: AVAudioSession.InterruptionType?) {
        switch kind {
        case .began:
            interrupted(true)
        case .ended:
            // Siri and phone calls leave the session inactive.
            session.lockForConfiguration()
            try? session.setActive(true)
            session.unlockForConfiguration()
            interrupted(false)
        default:
            break
        }
    }
}
