//! Work that its client can't break off: what a request changes is also written down, whoever waits for the answer.
//!
//! actix drops what it does for a request when the connection is reset, at whatever it waits for. A change that has
//! reached Postgres would then be made, and nobody would be told.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use actix_web::rt;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::mpsc;

tokio::task_local! {
    /// What every work holds that was begun on a connection, for as long as it goes on.
    static BEGUN: mpsc::Sender<Infallible>;
}

/// Serves a connection, and ends when what was begun on it has ended as well: a node that stops waits for its
/// connections, and so for that.
pub async fn serve_and_finish<T>(connection: impl Future<Output = T>) -> T {
    let (begun, mut all) = mpsc::channel(1);
    let outcome = BEGUN.scope(begun, connection).await;
    // Nothing is ever sent: it tells that nobody is left who could.
    let _ = all.recv().await;
    outcome
}

/// Does this work to its end, also when the future that waits for it is dropped: the rest is done then. As long as
/// somebody waits it is done where they wait, so that an answer to a body that breaks off is there before the connection
/// ends.
///
/// # Errors
/// What it panicked with.
pub fn run_to_completion<T: 'static>(work: impl Future<Output = T> + 'static) -> RunToCompletion<T> {
    let begun = BEGUN.try_with(mpsc::Sender::clone).ok();
    let work = async move {
        let outcome = AssertUnwindSafe(work).catch_unwind().await;
        drop(begun);
        outcome
    };
    RunToCompletion(Some(work.boxed_local()))
}

/// Work that is not done yet.
pub struct RunToCompletion<T: 'static>(Option<LocalBoxFuture<'static, thread::Result<T>>>);

impl<T> Future for RunToCompletion<T> {
    type Output = thread::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let outcome = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl<T> Drop for RunToCompletion<T> {
    fn drop(&mut self) {
        if let Some(rest) = self.0.take() {
            rt::spawn(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn work_goes_on_without_whoever_waited_for_it_and_the_connection_ends_after_it() {
        let (go_on, told) = oneshot::channel();
        let done = Rc::new(Cell::new(false));
        let work = {
            let done = Rc::clone(&done);
            async move {
                told.await.expect("it is told");
                done.set(true);
            }
        };
        // The client is gone as soon as the work has begun.
        let connection = async { assert!(run_to_completion(work).now_or_never().is_none()) };
        let mut connection = Box::pin(serve_and_finish(connection));
        assert!(connection.as_mut().now_or_never().is_none(), "it waits for the work");
        go_on.send(()).expect("the work goes on");
        connection.await;
        assert!(done.get());
    }

    #[actix_web::test]
    async fn a_connection_on_which_nothing_was_begun_just_ends() {
        assert_eq!(serve_and_finish(async { 7 }).now_or_never(), Some(7));
    }

    #[actix_web::test]
    async fn a_panic_is_the_work_s_own() {
        let work = async { panic!("on purpose") };
        assert!(serve_and_finish(run_to_completion::<()>(work)).await.is_err());
    }
}
