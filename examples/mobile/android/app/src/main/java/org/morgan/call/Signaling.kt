package org.morgan.call

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import java.io.IOException
import java.net.URLEncoder
import java.util.concurrent.TimeUnit

/** A request that did not end well; [status] is 0 where no answer came. */
class SignalingException(val status: Int, val code: String, message: String, val retryAfterS: Int? = null) : Exception(message)

data class Placed(val callId: String, val sdp: String, val conversationId: String, val resumeToken: String)

/** As [org.webrtc.PeerConnection.IceServer] takes it. */
data class TurnServer(val urls: List<String>, val username: String, val credential: String)

data class FoundCandidate(val candidate: String, val sdpMid: String?, val sdpMLineIndex: Int)

/**
 * The HTTP half of a call: every request to Morgan (docs/signaling.md).
 *
 * @param server address of Morgan, such as https://morgan.example.org
 * @param token a join token ("mt_...", good once, exchanged for a session of some hours), a key, or null
 */
class Signaling(private val server: String, private val token: String?) {
    private val http = OkHttpClient.Builder().callTimeout(10, TimeUnit.SECONDS).build()
    private var session: JSONObject? = null
    private var turnServers = emptyList<TurnServer>()
    private var turnServersUntilMs = Long.MIN_VALUE

    suspend fun create(sdp: String, userId: String?, conversationId: String?, language: String? = null): Placed {
        val user = authorised()?.optString("user_id")?.ifEmpty { null } ?: userId // a join token says who its holder is
        val body = JSONObject().put("sdp", sdp).put("type", "offer")
        user?.let { body.put("user_id", it) }
        conversationId?.let { body.put("conversation_id", it) }
        language?.let { body.put("language", it) }
        val answer = request("POST", "/api/calls", body)
        return Placed(answer.getString("call_id"), answer.getString("sdp"), answer.getString("conversation_id"), answer.getString("resume_token"))
    }

    suspend fun trickle(callId: String, candidates: List<FoundCandidate>) {
        val listed = JSONArray()
        for (each in candidates) {
            listed.put(
                JSONObject().put("candidate", each.candidate).put("sdpMid", each.sdpMid ?: JSONObject.NULL)
                    .put("sdpMLineIndex", each.sdpMLineIndex),
            )
        }
        request("PATCH", path(callId), JSONObject().put("candidates", listed))
    }

    /** The same call on a new connection; the answer's SDP. */
    suspend fun resume(callId: String, resumeToken: String, sdp: String): String {
        val body = JSONObject().put("sdp", sdp).put("type", "offer").put("resume_token", resumeToken)
        return request("PATCH", path(callId), body).getString("sdp")
    }

    suspend fun hangUp(callId: String) {
        request("DELETE", path(callId))
    }

    /** TURN servers, where Morgan has any. Asked for anew when half of their time is over. */
    suspend fun iceServers(): List<TurnServer> {
        val now = System.nanoTime() / 1_000_000
        if (now >= turnServersUntilMs) {
            val answer = request("GET", "/api/ice-servers")
            val listed = answer.getJSONArray("ice_servers")
            turnServers = List(listed.length()) { n ->
                val each = listed.getJSONObject(n)
                val urls = each.getJSONArray("urls")
                TurnServer(List(urls.length(), urls::getString), each.optString("username"), each.optString("credential"))
            }
            turnServersUntilMs = if (answer.isNull("ttl_s")) Long.MAX_VALUE else now + answer.getLong("ttl_s") * 500
        }
        return turnServers
    }

    private fun path(callId: String) = "/api/calls/" + URLEncoder.encode(callId, "UTF-8")

    private suspend fun authorised(): JSONObject? {
        val given = token ?: return null
        if (!given.startsWith(JOIN)) return JSONObject().put("token", given)
        return session ?: send("POST", "/api/tokens/exchange", null, given).also { session = it }
    }

    private suspend fun request(method: String, path: String, body: JSONObject? = null): JSONObject =
        send(method, path, body, authorised()?.getString("token"))

    private suspend fun send(method: String, path: String, body: JSONObject?, bearer: String?): JSONObject =
        withContext(Dispatchers.IO) {
            val content = body?.toString()?.toRequestBody(JSON)
                ?: if (method == "POST") ByteArray(0).toRequestBody() else null
            val request = Request.Builder().url(server.trimEnd('/') + path).method(method, content)
            bearer?.let { request.header("Authorization", "Bearer $it") }
            try {
                http.newCall(request.build()).execute().use { response ->
                    val text = response.body?.string().orEmpty()
                    if (response.isSuccessful) return@withContext if (text.isEmpty()) JSONObject() else JSONObject(text)
                    val error = runCatching { JSONObject(text).getJSONObject("error") }.getOrNull()
                    throw SignalingException(
                        response.code,
                        error?.optString("code") ?: "http_${response.code}",
                        error?.optString("message") ?: "The server answered ${response.code}.",
                        response.header("Retry-After")?.toIntOrNull(),
                    )
                }
            } catch (error: IOException) {
                throw SignalingException(0, "unreachable", "No answer from the server.")
            } catch (error: JSONException) {
                throw SignalingException(0, "bad_answer", "The server answered with something that is not JSON.")
            }
        }

    private companion object {
        const val JOIN = "mt_"
        val JSON = "application/json".toMediaType()
    }
}
