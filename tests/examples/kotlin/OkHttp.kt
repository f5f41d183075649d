/** As much of OkHttp 4 as the Android client uses, on the JDK's own client: OkHttp itself is in no registry of the tests. */
package okhttp3

import java.io.Closeable
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.time.Duration
import java.util.concurrent.TimeUnit

class MediaType private constructor(private val text: String) {
    override fun toString() = text

    companion object {
        fun String.toMediaType() = MediaType(this)
    }
}

class RequestBody private constructor(val content: ByteArray, val type: MediaType?) {
    companion object {
        fun String.toRequestBody(contentType: MediaType? = null) = RequestBody(toByteArray(), contentType)

        fun ByteArray.toRequestBody(contentType: MediaType? = null) = RequestBody(this, contentType)
    }
}

class Request private constructor(val url: String, val method: String, val body: RequestBody?, val headers: Map<String, String>) {
    class Builder {
        private var url = ""
        private var method = "GET"
        private var body: RequestBody? = null
        private val headers = mutableMapOf<String, String>()

        fun url(url: String) = apply { this.url = url }

        fun method(method: String, body: RequestBody?) = apply {
            require((method in setOf("POST", "PUT", "PATCH")) == (body != null) || method == "DELETE") { "$method with or without a body" }
            this.method = method
            this.body = body
        }

        fun header(name: String, value: String) = apply { headers[name] = value }

        fun build() = Request(url, method, body, headers)
    }
}

class ResponseBody(private val text: String) {
    fun string() = text
}

class Response(private val answer: HttpResponse<String>) : Closeable {
    val code get() = answer.statusCode()
    val isSuccessful get() = code in 200..299
    val body: ResponseBody? = ResponseBody(answer.body())

    fun header(name: String): String? = answer.headers().firstValue(name).orElse(null)

    override fun close() = Unit
}

class Call(private val client: OkHttpClient, private val request: Request) {
    fun execute(): Response {
        val body = request.body
        val publisher = body?.let { HttpRequest.BodyPublishers.ofByteArray(it.content) } ?: HttpRequest.BodyPublishers.noBody()
        val built = HttpRequest.newBuilder(URI(request.url)).timeout(client.timeout).method(request.method, publisher)
        request.headers.forEach(built::header)
        body?.type?.let { built.header("Content-Type", it.toString()) }
        val answer = client.http.send(built.build(), HttpResponse.BodyHandlers.ofString())
        client.watcher(request, answer.statusCode())
        return Response(answer)
    }
}

class OkHttpClient private constructor(val timeout: Duration) {
    val http: HttpClient = HttpClient.newHttpClient()
    val watcher get() = Companion.watcher

    fun newCall(request: Request) = Call(this, request)

    class Builder {
        private var timeout = Duration.ofSeconds(10)

        fun callTimeout(timeout: Long, unit: TimeUnit) = apply { this.timeout = Duration.of(timeout, unit.toChronoUnit()) }

        fun build() = OkHttpClient(timeout)
    }

    companion object {
        /** Is told of each request and the status of its answer. */
        var watcher: (Request, Int) -> Unit = { _, _ -> }
    }
}
