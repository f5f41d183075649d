package org.morgan.call

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull
import org.json.JSONArray
import org.json.JSONObject
import org.webrtc.AudioTrack
import org.webrtc.DataChannel
import org.webrtc.IceCandidate
import org.webrtc.MediaConstraints
import org.webrtc.MediaStream
import org.webrtc.PeerConnection
import org.webrtc.PeerConnectionFactory
import org.webrtc.RtpReceiver
import org.webrtc.SdpObserver
import org.webrtc.SessionDescription
import java.nio.ByteBuffer

enum class CallState { CONNECTING, CONNECTED, RECONNECTING, ENDED }

/**
 * One call: placed, trickled, taken up on a new connection when the network changes, ended. The same steps in the same
 * order as examples/mobile/react-native/src/call.js, which the tests run. All of it happens on [scope]'s thread.
 */
class MorganCall(
    private val scope: CoroutineScope,
    private val factory: PeerConnectionFactory,
    private val microphone: AudioTrack,
    private val signaling: Signaling,
    private val userId: String,
    private var conversationId: String?,
    private val onState: (CallState, Throwable?) -> Unit,
    private val onEvent: (JSONObject) -> Unit = {},
) {
    private var state = CallState.CONNECTING
    private var peer: PeerConnection? = null
    private var channel: DataChannel? = null
    private var callId: String? = null
    private var resumeToken = ""
    private var turn = 0
    private var reconnecting: Job? = null
    private var stands: CompletableDeferred<Boolean>? = null

    fun start() = scope.launch {
        try {
            connect(resumed = false)
        } catch (error: CancellationException) {
            throw error
        } catch (error: Exception) {
            finish(error)
        }
    }

    /** The phone is on another network now: do not wait until the old path is found dead. */
    fun networkChanged() {
        if (state != CallState.ENDED && callId != null) reconnect()
    }

    fun say(text: String) {
        val content = JSONArray().put(JSONObject().put("type", "input_text").put("text", text))
        val item = JSONObject().put("type", "message").put("role", "user").put("content", content)
        tell(JSONObject().put("type", "conversation.item.create").put("item", item))
        tell(JSONObject().put("type", "response.create"))
    }

    fun end() {
        val id = callId
        finish(null)
        if (id != null) scope.launch { runCatching { signaling.hangUp(id) } } // the server finds out by itself
    }

    private fun tell(event: JSONObject) {
        channel?.takeIf { it.state() == DataChannel.State.OPEN }
            ?.send(DataChannel.Buffer(ByteBuffer.wrap(event.toString().toByteArray()), false))
    }

    /** The connection before is closed when the server has answered: to close it sooner is to hang up. */
    private suspend fun connect(resumed: Boolean) {
        val mine = ++turn
        val servers = signaling.iceServers().map {
            PeerConnection.IceServer.builder(it.urls).setUsername(it.username).setPassword(it.credential).createIceServer()
        }
        if (mine != turn) return
        val (peerBefore, channelBefore) = peer to channel
        val waiting = mutableListOf<FoundCandidate>()
        var known = false
        var sending: Job? = null
        fun send() {
            val id = callId ?: return
            if (!known || waiting.isEmpty() || sending?.isActive == true) return
            sending = scope.launch {
                delay(BATCH_MS)
                if (mine != turn) return@launch
                val batch = waiting.toList()
                waiting.clear()
                runCatching { signaling.trickle(id, batch) } // checks from our side reach the server all the same
                sending = null
                send()
            }
        }
        val made = factory.createPeerConnection(
            PeerConnection.RTCConfiguration(servers).apply {
                bundlePolicy = PeerConnection.BundlePolicy.MAXBUNDLE
                sdpSemantics = PeerConnection.SdpSemantics.UNIFIED_PLAN
            },
            object : QuietObserver() {
                override fun onIceCandidate(candidate: IceCandidate) {
                    scope.launch {
                        waiting += FoundCandidate(candidate.sdp, candidate.sdpMid, candidate.sdpMLineIndex)
                        send()
                    }
                }

                override fun onConnectionChange(newState: PeerConnection.PeerConnectionState) {
                    scope.launch { if (mine == turn) changed(newState) }
                }
            },
        ) ?: error("no peer connection")
        peer = made
        made.addTrack(microphone)
        channel = made.createDataChannel("oai-events", DataChannel.Init()).also { it.registerObserver(Events(it)) }
        val offer = made.offer()
        made.describe(offer, local = true)
        val answer: String
        try {
            answer = if (resumed) signaling.resume(callId!!, resumeToken, offer.description) else placed(offer.description)
        } catch (error: SignalingException) {
            if (mine == turn) {
                close()
                peer = peerBefore
                channel = channelBefore
            }
            throw error
        }
        channelBefore?.dispose()
        peerBefore?.dispose()
        if (mine != turn) return
        made.describe(SessionDescription(SessionDescription.Type.ANSWER, answer), local = false)
        known = true
        send()
    }

    private suspend fun placed(sdp: String): String {
        val placed = place(sdp)
        if (state == CallState.ENDED) {
            // Hung up while the server answered: it must not keep the line.
            runCatching { signaling.hangUp(placed.callId) }
        } else {
            callId = placed.callId
            resumeToken = placed.resumeToken
            conversationId = placed.conversationId
        }
        return placed.sdp
    }

    private suspend fun place(sdp: String): Placed = try {
        signaling.create(sdp, userId, conversationId)
    } catch (error: SignalingException) {
        if (error.status != 404 || conversationId == null) throw error
        conversationId = null // it was deleted, or nothing was said in it
        signaling.create(sdp, userId, null)
    }

    private fun changed(newState: PeerConnection.PeerConnectionState) {
        when (newState) {
            PeerConnection.PeerConnectionState.CONNECTED -> {
                stands?.complete(true)
                show(CallState.CONNECTED)
            }
            PeerConnection.PeerConnectionState.FAILED, PeerConnection.PeerConnectionState.DISCONNECTED -> {
                stands?.complete(false)
                if (callId != null) reconnect()
            }
            else -> Unit
        }
    }

    private fun reconnect() {
        if (reconnecting?.isActive == true) {
            stands?.complete(false) // begin anew at once: the network has changed once more
            return
        }
        show(CallState.RECONNECTING)
        reconnecting = scope.launch {
            val done = withTimeoutOrNull(GIVE_UP_MS) {
                var tries = 0
                while (state != CallState.ENDED && !oneMoreTry()) delay(PAUSES_MS[minOf(tries++, PAUSES_MS.lastIndex)])
                true
            }
            if (done == null) finish(SignalingException(0, "lost", "The network did not come back."))
        }
    }

    /** Whether there is nothing more to try. */
    private suspend fun oneMoreTry(): Boolean {
        val standing = CompletableDeferred<Boolean>().also { stands = it }
        try {
            try {
                connect(resumed = true)
            } catch (error: SignalingException) {
                if (error.status == 401 || error.status == 403) {
                    finish(error)
                    return true
                }
                if (error.status != 404) return false // no network yet, a full or a restarting server
                connect(resumed = false) // the server has lost the call: the conversation goes on in a new one
            }
            return withTimeoutOrNull(CONNECT_MS) { standing.await() } ?: false
        } catch (error: SignalingException) {
            return false
        } finally {
            stands = null
        }
    }

    private fun show(new: CallState, error: Throwable? = null) {
        if (state == new || state == CallState.ENDED) return
        state = new
        onState(new, error)
    }

    private fun finish(error: Throwable?) {
        if (state == CallState.ENDED) return
        turn += 1
        stands?.complete(false)
        close()
        show(CallState.ENDED, error)
    }

    private fun close() {
        channel?.dispose()
        peer?.dispose()
        channel = null
        peer = null
    }

    private inner class Events(private val of: DataChannel) : DataChannel.Observer {
        override fun onBufferedAmountChange(previous: Long) = Unit

        override fun onStateChange() = Unit

        override fun onMessage(buffer: DataChannel.Buffer) {
            val bytes = ByteArray(buffer.data.remaining()).also { buffer.data.get(it) }
            scope.launch { if (channel === of) onEvent(JSONObject(String(bytes))) }
        }
    }

    private companion object {
        const val BATCH_MS = 50L
        const val CONNECT_MS = 12_000L
        const val GIVE_UP_MS = 120_000L
        val PAUSES_MS = longArrayOf(500, 1000, 2000, 4000)
    }
}

private suspend fun PeerConnection.offer(): SessionDescription {
    val made = CompletableDeferred<SessionDescription>()
    createOffer(
        object : QuietSdpObserver() {
            override fun onCreateSuccess(description: SessionDescription) {
                made.complete(description)
            }

            override fun onCreateFailure(error: String?) {
                made.completeExceptionally(IllegalStateException(error))
            }
        },
        MediaConstraints(),
    )
    return made.await()
}

private suspend fun PeerConnection.describe(description: SessionDescription, local: Boolean) {
    val done = CompletableDeferred<Unit>()
    val observer = object : QuietSdpObserver() {
        override fun onSetSuccess() {
            done.complete(Unit)
        }

        override fun onSetFailure(error: String?) {
            done.completeExceptionally(IllegalStateException(error))
        }
    }
    if (local) setLocalDescription(observer, description) else setRemoteDescription(observer, description)
    done.await()
}

private open class QuietSdpObserver : SdpObserver {
    override fun onCreateSuccess(description: SessionDescription) = Unit

    override fun onSetSuccess() = Unit

    override fun onCreateFailure(error: String?) = Unit

    override fun onSetFailure(error: String?) = Unit
}

private open class QuietObserver : PeerConnection.Observer {
    override fun onSignalingChange(state: PeerConnection.SignalingState) = Unit

    override fun onIceConnectionChange(state: PeerConnection.IceConnectionState) = Unit

    override fun onIceConnectionReceivingChange(receiving: Boolean) = Unit

    override fun onIceGatheringChange(state: PeerConnection.IceGatheringState) = Unit

    override fun onIceCandidate(candidate: IceCandidate) = Unit

    override fun onIceCandidatesRemoved(candidates: Array<out IceCandidate>) = Unit

    override fun onAddStream(stream: MediaStream) = Unit

    override fun onRemoveStream(stream: MediaStream) = Unit

    override fun onDataChannel(channel: DataChannel) = Unit

    override fun onRenegotiationNeeded() = Unit

    override fun onAddTrack(receiver: RtpReceiver, streams: Array<out MediaStream>) = Unit
}
