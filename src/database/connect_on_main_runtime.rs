//! Runs connections to Postgres in the node's main runtime, whichever thread opens them.
//!
//! Each HTTP worker has a runtime of its own, which ends when the node stops and the worker has no requests left. A
//! connection opened there would end with it, even if another worker waits for a response on it.

use std::cell::RefCell;
use std::pin::pin;

use futures_util::future::poll_fn;
use tokio::runtime::Handle;

thread_local! {
    static MAIN_RUNTIME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Sets the runtime for connections that this thread opens from now on.
pub fn set_main_runtime(runtime: Handle) {
    MAIN_RUNTIME.set(Some(runtime));
}

/// Runs something that may open a connection in that runtime's context.
pub(super) async fn on_main_runtime<T>(statement: impl Future<Output = T>) -> T {
    let Some(runtime) = MAIN_RUNTIME.with_borrow(Option::clone) else { return statement.await };
    let mut statement = pin!(statement);
    poll_fn(move |cx| {
        let _inside = runtime.enter();
        statement.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn what_a_worker_opens_outlives_it() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let handle = runtime.handle().clone();
        let worker = std::thread::spawn(move || {
            set_main_runtime(handle);
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(on_main_runtime(TcpStream::connect(address))).expect("a connection")
        });
        let mut opened = worker.join().expect("no panic");
        runtime.block_on(async {
            let (mut other, _) = listener.accept().await.expect("a connection");
            other.write_all(b"!").await.expect("a byte");
            assert_eq!(opened.read_u8().await.expect("it lives"), b'!');
        });
    }
}
