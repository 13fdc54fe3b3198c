//! The endpoint for Prometheus: `GET /metrics` over HTTP/1.1, on addresses and a port of its own.
//!
//! One connection after the other, on reactor 0; a request has little time and little room, and each connection is
//! closed after its answer. The engine's lock is held only while INFO is written. While a script holds it, the
//! answer is 503. Nothing that is asked here changes anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::Shared;
use crate::engine::info;
use crate::metrics;

/// How long a request may take to come, and an answer to go.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// Connections that are served at a time.
const CONNECTIONS_MAX: usize = 16;

/// Answers whoever asks, as long as the server runs.
pub(super) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::task::spawn_local(async move {
            // Whoever is slow or gone has to ask again.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &shared)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, kind, body) = respond(&head, || text(shared));
    let head_only = head.starts_with(b"HEAD ");
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        body.len(),
        if head_only { "" } else { &body }
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// Status, type and body for a request.
fn respond(
    head: &[u8],
    metrics: impl FnOnce() -> Option<String>,
) -> (&'static str, &'static str, String) {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET" | "HEAD", "/metrics") => match metrics() {
            Some(text) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text),
            None => ("503 Service Unavailable", PLAIN, "a script is running\n".to_owned()),
        },
        ("GET" | "HEAD", _) => ("404 Not Found", PLAIN, "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", PLAIN, "only GET is answered\n".to_owned()),
    }
}

/// The metrics now; `None` while a script holds the engine.
fn text(shared: &Shared) -> Option<String> {
    let mut engine = shared.lock_unless_busy()?;
    engine.begin_batch();
    let wanted: Vec<String> = metrics::SECTIONS.iter().map(|name| (*name).to_owned()).collect();
    let text = info::render(&engine, &wanted);
    let now = engine.ks.now / 1000;
    shared.unlock(engine);
    Some(metrics::of_info(&text, now))
}

#[cfg(test)]
mod tests {
    use super::respond;

    #[test]
    fn only_the_metrics_are_given_and_only_to_readers() {
        let status = |request: &str| respond(request.as_bytes(), || Some("m 1\n".to_owned())).0;
        assert_eq!(status("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK");
        assert_eq!(status("GET /metrics?name=x HTTP/1.1\r\n\r\n"), "200 OK");
        assert_eq!(status("HEAD /metrics HTTP/1.0\r\n\r\n"), "200 OK");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("\r\n\r\n"), "405 Method Not Allowed");
        let busy = respond(b"GET /metrics HTTP/1.1\r\n\r\n", || None);
        assert_eq!(busy.0, "503 Service Unavailable");
    }
}
