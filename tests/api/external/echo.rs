//! An app behind a proxy, that answers with what it was sent.

use std::{
    net::{SocketAddr, TcpListener},
    sync::LazyLock,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::UPGRADE,
    web::{self, Payload},
};
use serde_json::json;

use crate::support::cluster;

/// Where it is. One for all tests: it remembers nothing.
pub static ECHO: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the app");
    let address = listener.local_addr().expect("its address");
    let _runtime = cluster::runtime().enter();
    let server = HttpServer::new(|| App::new().default_service(web::to(echo)))
        .workers(1)
        .disable_signals()
        .listen(listener)
        .expect("the app's port");
    cluster::runtime().spawn(server.run());
    address
});

/// What the key in RFC 6455, section 1.3, is answered with: the one that the tests send. HAProxy looks at it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

async fn echo(request: HttpRequest, body: Payload) -> HttpResponse {
    // What comes then goes back as it is: that it is framed as a WebSocket's is the two ends' business.
    if request.headers().get(UPGRADE).is_some_and(|upgrade| upgrade == "websocket") {
        let user = request.headers().get("x-auth-username").cloned();
        let mut response = HttpResponse::SwitchingProtocols();
        response.insert_header(("Sec-WebSocket-Accept", ACCEPT));
        if let Some(user) = user {
            response.insert_header(("x-told", user));
        }
        return response.upgrade("websocket").streaming(body);
    }
    let headers = request.headers().iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
    let body = body.to_bytes().await.unwrap_or_default();
    HttpResponse::Ok().json(json!({
        "method": request.method().as_str(),
        "path": request.path(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}
