// A client of the classes that openapi-generator has written, in both modes by both transports: it signs in, reads,
// refreshes and signs out. HTTP is the JDK's: the generated one stands on libraries that only Maven has.
//
// java -cp … ClientKt URL

import com.fasterxml.jackson.annotation.JsonInclude
import com.fasterxml.jackson.databind.DeserializationFeature
import com.fasterxml.jackson.databind.ObjectMapper
import com.fasterxml.jackson.databind.SerializationFeature
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule
import dualauth.models.*
import java.net.CookieManager
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse.BodyHandlers

const val PASSWORD = "a quiet lantern over the weir"
val name = "kotlin-${System.currentTimeMillis()}"
val json: ObjectMapper = ObjectMapper()
    .registerModule(JavaTimeModule())
    .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
    .disable(DeserializationFeature.ADJUST_DATES_TO_CONTEXT_TIME_ZONE)
    .setSerializationInclusion(JsonInclude.Include.NON_NULL)

/** What a request shows of a login: told by the class of the answer alone. */
data class Shown(val header: String, val value: String)

fun shown(login: Any): Shown = when (login) {
    is SessionByBearer -> Shown("Authorization", "${login.tokenType.value} ${login.sessionToken}")
    is JwtByBearer -> Shown("Authorization", "${login.tokenType.value} ${login.accessToken}")
    is SessionByCookie -> Shown("X-CSRF-Token", login.csrfToken)
    is JwtByCookie -> Shown("X-CSRF-Token", login.csrfToken)
    else -> error("no login: $login")
}

fun loginOf(login: Any): LoginBody = when (login) {
    is SessionBody -> login.login
    is JwtBody -> login.login
    else -> error("no login: $login")
}

class Visitor(private val url: String) {
    // As it comes: it asks with each request to be upgraded to HTTP/2.
    private val http = HttpClient.newBuilder().cookieHandler(CookieManager()).build()

    fun <T> ask(method: String, path: String, status: Int, answer: Class<T>, shown: Shown? = null, body: Any? = null): T? {
        val content = body?.let { BodyPublishers.ofString(json.writeValueAsString(it)) } ?: BodyPublishers.noBody()
        val request = HttpRequest.newBuilder(URI(url + path)).method(method, content)
        if (body != null) request.header("Content-Type", "application/json")
        if (shown != null) request.header(shown.header, shown.value)
        val response = http.send(request.build(), BodyHandlers.ofString())
        check(response.statusCode() == status) { "$method $path: ${response.statusCode()} ${response.body()}" }
        return if (response.body().isEmpty()) null else json.readValue(response.body(), answer)
    }
}

fun visit(url: String, mode: Mode, transport: Transport) {
    val visitor = Visitor(url)
    val answer = if (mode == Mode.session) SessionBody::class.java else JwtBody::class.java

    fun read(login: Any) {
        val profile = visitor.ask("GET", "/$mode/profile", 200, ProfileBody::class.java, shown(login))!!
        check(profile.username == name && profile.auth.loginId == loginOf(login).id) { "$profile" }
    }

    val credentials = LoginRequest(username = name, password = PASSWORD, transport = transport)
    val login: Any = visitor.ask("POST", "/$mode/login", 200, answer, body = credentials)!!
    check(loginOf(login).mode == mode && loginOf(login).transport == transport) { "$login" }
    read(login)

    val refreshed: Any = when (login) {
        is JwtByBearer ->
            visitor.ask("POST", "/jwt/refresh", 200, answer, body = RefreshRequest(refreshToken = login.refreshToken))!!
        else -> visitor.ask("POST", "/$mode/refresh", 200, answer, shown(login))!!
    }
    check(refreshed::class == login::class && loginOf(refreshed).id == loginOf(login).id) { "$refreshed" }
    read(refreshed)

    visitor.ask("POST", "/$mode/logout", 204, Any::class.java, shown(refreshed))
    val gone = visitor.ask("GET", "/$mode/profile", 401, Problem::class.java, shown(refreshed))!!
    check(gone.code in listOf(Code.session_expired, Code.token_revoked, Code.not_authenticated)) { "$gone" }
}

fun main(arguments: Array<String>) {
    val url = arguments[0]
    val account = RegisterRequest(username = name, email = "$name@example.org", password = PASSWORD)
    Visitor(url).ask("POST", "/session/register", 201, UserBody::class.java, body = account)
    for (mode in Mode.entries) {
        for (transport in Transport.entries) {
            visit(url, mode, transport)
            println("$mode $transport")
        }
    }
}
