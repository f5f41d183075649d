/** Runs the Android client's own call and signaling on the JVM, as mobile_signaling.mjs does React Native's under Node. */
package harness

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import org.json.JSONObject
import org.morgan.call.CallState
import org.morgan.call.MorganCall
import org.morgan.call.Signaling
import org.morgan.call.SignalingException
import org.webrtc.AudioTrack
import org.webrtc.DataChannel
import org.webrtc.IceCandidate
import org.webrtc.PeerConnection
import org.webrtc.PeerConnectionFactory
import org.webrtc.Stack
import java.net.URI
import java.nio.ByteBuffer
import java.util.concurrent.Executors
import kotlin.system.exitProcess

fun main(arguments: Array<String>) {
    val (server, token, conversation) = arguments
    val main = Executors.newSingleThreadExecutor().asCoroutineDispatcher()
    val scope = CoroutineScope(SupervisorJob() + main)
    OkHttpClient.watcher = { request, status ->
        val sent = request.body?.content?.takeIf { it.isNotEmpty() }?.let { JSONObject(String(it)) } ?: JSONObject()
        Stack.tell(
            JSONObject().put("request", request.method).put("path", URI(request.url).path).put("status", status)
                .put("candidates", sent.optJSONArray("candidates")?.length() ?: 0).put("resumed", sent.has("resume_token")),
        )
    }
    lateinit var call: MorganCall
    fun field(name: String) = MorganCall::class.java.getDeclaredField(name).apply { isAccessible = true }.get(call) as String?
    call = MorganCall(
        scope, PeerConnectionFactory(), AudioTrack(), Signaling(server, token.ifEmpty { null }), "kotlin", conversation.ifEmpty { null },
        onState = { state, error ->
            if (state == CallState.ENDED && error != null) {
                val refused = error as? SignalingException
                Stack.tell(JSONObject().put("ended", "failed").put("status", refused?.status).put("code", refused?.code ?: error.toString()))
            } else {
                Stack.tell(JSONObject().put("state", state.name.lowercase()).put("call", field("callId")).put("conversation", field("conversationId")))
            }
        },
        onEvent = { Stack.tell(JSONObject().put("event", it.getString("type"))) },
    )
    generateSequence(::readlnOrNull).forEach { line -> scope.launch { take(JSONObject(line), call, scope) } }
}

private fun take(message: JSONObject, call: MorganCall, scope: CoroutineScope) {
    val peer = Stack.peers.getOrNull(message.optInt("peer", -1))
    when {
        message.has("answer") -> Stack.answer(message.getInt("answer"), message.opt("value"))
        message.has("candidate") -> message.getJSONObject("candidate").run {
            peer!!.observer.onIceCandidate(IceCandidate(getString("sdpMid"), getInt("sdpMLineIndex"), getString("candidate")))
        }
        message.has("state") -> peer!!.observer.onConnectionChange(PeerConnection.PeerConnectionState.valueOf(message.getString("state").uppercase()))
        message.has("open") -> peer!!.channel.current = DataChannel.State.OPEN
        message.has("message") -> peer!!.channel.observer!!.onMessage(DataChannel.Buffer(ByteBuffer.wrap(message.getString("message").toByteArray()), false))
        else -> when (message.getString("act")) {
            "start" -> call.start()
            "networkChanged" -> call.networkChanged()
            "say" -> call.say(message.getString("value"))
            "end" -> {
                call.end()
                val left = scope.coroutineContext.job.children.toList()
                Thread { runBlocking { left.forEach { it.join() } }.also { exitProcess(0) } }.start()
            }
        }
    }
}
