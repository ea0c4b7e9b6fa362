//! Calls that outlive their callers.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use tower_api_key::store::{BoxFuture, StoreError};

/// How long a call goes on after its caller is gone. A statement that is given up half-way costs its
/// connection, so a caller that hangs up must not end one. A server that does not answer at all must not
/// keep the connection for ever either.
const ABANDONED: Duration = Duration::from_secs(6);

/// Hands a task to the runtime of the caller.
pub(super) fn spawn(task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
    match Handle::try_current() {
        Ok(runtime) => {
            drop(runtime.spawn(task));
            Ok(())
        }
        Err(_) => Err(task),
    }
}

/// Runs a call in a separate task: a caller that is dropped cancels nothing.
pub(super) async fn detached<T: Send + 'static>(
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let Ok(runtime) = Handle::try_current() else {
        return call.await;
    };
    let (mut caller, answer) = oneshot::channel();
    let task = runtime.spawn(async move {
        let answer = {
            let mut call = pin!(call);
            let mut given_up = pin!(async {
                caller.closed().await;
                Delay::new(ABANDONED).await;
            });
            poll_fn(|context| match call.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => given_up.as_mut().poll(context).map(|()| None),
            })
            .await
        };
        if let Some(answer) = answer {
            let _ = caller.send(answer);
        }
    });
    if let Ok(answer) = answer.await {
        return answer;
    }
    match task.await {
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        _ => Err(StoreError::unavailable(
            "the runtime that the call ran in has ended",
        )),
    }
}
