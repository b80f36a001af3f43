//! Runs a request's work to completion, even if its client disconnects.
//!
//! actix drops a request's future when the connection is reset, at any await point. A change that was committed in
//! Postgres could then be missing in the audit trail and on other nodes.

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
    /// Held by all work that was begun on a connection, until it ends.
    static BEGUN: mpsc::Sender<Infallible>;
}

/// Serves a connection, and returns when all work begun on it has ended as well. So a node that stops waits for this
/// work, as it waits for its connections.
pub async fn serve_and_finish<T>(connection: impl Future<Output = T>) -> T {
    let (begun, mut all) = mpsc::channel(1);
    let outcome = BEGUN.scope(begun, connection).await;
    // Nothing is ever sent: `recv` returns when all senders are dropped.
    let _ = all.recv().await;
    outcome
}

/// Runs this work to completion, even if the returned future is dropped: the rest is then spawned. Otherwise it runs
/// within that future, so that after an aborted body the response is written before the connection closes.
///
/// # Errors
/// The panic of the work.
pub fn run_to_completion<T: 'static>(work: impl Future<Output = T> + 'static) -> RunToCompletion<T> {
    let begun = BEGUN.try_with(mpsc::Sender::clone).ok();
    let work = async move {
        let outcome = AssertUnwindSafe(work).catch_unwind().await;
        drop(begun);
        outcome
    };
    RunToCompletion(Some(work.boxed_local()))
}

/// Work that is in progress.
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
        // The client disconnects as soon as the work has begun.
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
