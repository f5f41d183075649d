/**
 * As much of libwebrtc's API for Android as the client uses. The WebRTC stack is whoever reads and writes JSON lines on this
 * process's standard streams: a peer connection here is a name for one there.
 */
package org.webrtc

import org.json.JSONArray
import org.json.JSONObject
import java.nio.ByteBuffer

/** What is said to the stack and asked of it. */
object Stack {
    val peers = mutableListOf<PeerConnection>()
    private val waiting = mutableMapOf<Int, (Any?) -> Unit>()
    private var asked = 0

    @Synchronized
    fun tell(message: JSONObject) = println(message)

    fun ask(peer: Int, what: String, value: String?, done: (Any?) -> Unit) {
        waiting[++asked] = done
        tell(JSONObject().put("ask", asked).put("peer", peer).put("what", what).put("value", value))
    }

    fun answer(number: Int, value: Any?) = waiting.remove(number)!!(value)
}

class AudioTrack

class MediaStream

class RtpReceiver

class MediaConstraints

class IceCandidate(val sdpMid: String, val sdpMLineIndex: Int, val sdp: String)

class SessionDescription(val type: Type, val description: String) {
    enum class Type { OFFER, PRANSWER, ANSWER, ROLLBACK }
}

interface SdpObserver {
    fun onCreateSuccess(description: SessionDescription)

    fun onSetSuccess()

    fun onCreateFailure(error: String?)

    fun onSetFailure(error: String?)
}

class DataChannel(private val peer: Int) {
    enum class State { CONNECTING, OPEN, CLOSING, CLOSED }

    class Init

    class Buffer(@JvmField val data: ByteBuffer, @JvmField val binary: Boolean)

    interface Observer {
        fun onBufferedAmountChange(previous: Long)

        fun onStateChange()

        fun onMessage(buffer: Buffer)
    }

    var observer: Observer? = null
    var current = State.CONNECTING

    fun registerObserver(observer: Observer) {
        this.observer = observer
    }

    fun state() = current

    fun send(buffer: Buffer): Boolean {
        val text = ByteArray(buffer.data.remaining()).also { buffer.data.get(it) }
        Stack.tell(JSONObject().put("peer", peer).put("said", JSONObject(String(text))))
        return true
    }

    fun dispose() = Unit
}

class PeerConnection(private val number: Int, val observer: Observer) {
    enum class BundlePolicy { BALANCED, MAXBUNDLE, MAXCOMPAT }

    enum class SdpSemantics { PLAN_B, UNIFIED_PLAN }

    enum class SignalingState { STABLE }

    enum class IceConnectionState { NEW }

    enum class IceGatheringState { NEW }

    enum class PeerConnectionState { NEW, CONNECTING, CONNECTED, DISCONNECTED, FAILED, CLOSED }

    class IceServer private constructor(val told: JSONObject) {
        class Builder(urls: List<String>) {
            private val told = JSONObject().put("urls", JSONArray(urls))

            fun setUsername(username: String) = apply { told.put("username", username) }

            fun setPassword(password: String) = apply { told.put("credential", password) }

            fun createIceServer() = IceServer(told)
        }

        companion object {
            fun builder(urls: List<String>) = Builder(urls)
        }
    }

    class RTCConfiguration(@JvmField var iceServers: List<IceServer>) {
        @JvmField var bundlePolicy = BundlePolicy.BALANCED

        @JvmField var sdpSemantics = SdpSemantics.UNIFIED_PLAN
    }

    interface Observer {
        fun onSignalingChange(state: SignalingState)

        fun onIceConnectionChange(state: IceConnectionState)

        fun onConnectionChange(newState: PeerConnectionState) = Unit

        fun onIceConnectionReceivingChange(receiving: Boolean)

        fun onIceGatheringChange(state: IceGatheringState)

        fun onIceCandidate(candidate: IceCandidate)

        fun onIceCandidatesRemoved(candidates: Array<out IceCandidate>)

        fun onAddStream(stream: MediaStream)

        fun onRemoveStream(stream: MediaStream)

        fun onDataChannel(channel: DataChannel)

        fun onRenegotiationNeeded()

        fun onAddTrack(receiver: RtpReceiver, streams: Array<out MediaStream>) = Unit
    }

    lateinit var channel: DataChannel

    fun addTrack(track: AudioTrack) = Unit

    fun createDataChannel(label: String, init: DataChannel.Init): DataChannel {
        Stack.tell(JSONObject().put("channel", label))
        return DataChannel(number).also { channel = it }
    }

    fun createOffer(observer: SdpObserver, constraints: MediaConstraints) = Stack.ask(number, "offer", null) {
        observer.onCreateSuccess(SessionDescription(SessionDescription.Type.OFFER, it as String))
    }

    fun setLocalDescription(observer: SdpObserver, description: SessionDescription) = observer.onSetSuccess()

    fun setRemoteDescription(observer: SdpObserver, description: SessionDescription) =
        Stack.ask(number, "answer", description.description) { observer.onSetSuccess() }

    fun dispose() = Stack.tell(JSONObject().put("peer", number).put("closed", true))
}

class PeerConnectionFactory {
    fun createPeerConnection(configuration: PeerConnection.RTCConfiguration, observer: PeerConnection.Observer): PeerConnection? =
        PeerConnection(Stack.peers.size, observer).also {
            Stack.peers += it
            Stack.tell(JSONObject().put("turn", JSONArray(configuration.iceServers.map { each -> each.told })))
        }
}
