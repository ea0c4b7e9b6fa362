//! Calls that outlive their callers.

use std::future::Future;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tower_api_key::store::{BoxFuture, StoreError};

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

/// Runs a call that reads in a separate task: a statement that is given up half-way costs its connection, so a caller
/// that hangs up must not end one.
pub(super) async fn detached<T: Send + 'static>(
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let Ok(runtime) = Handle::try_current() else {
        return call.await;
    };
    match runtime.spawn(call).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::unavailable(
            "the runtime that the call ran in has ended",
        )),
    }
}
