//! Names for the calls of a tonic server: tonic runs the calls in its own tasks.

use std::task::{Context, Poll};

use futures::{FutureExt, future::BoxFuture};
use tower::{Layer, Service};

use super::{HostTask, named};

/// Runs the calls of a server under the name of a task; both the layer and the service that it makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedCalls<S = ()> {
    task: HostTask,
    service: S,
}

impl NamedCalls {
    /// The layer of a server whose calls run as this task.
    pub(crate) fn new(task: HostTask) -> Self {
        Self { task, service: () }
    }
}

impl<S> Layer<S> for NamedCalls {
    type Service = NamedCalls<S>;

    fn layer(&self, service: S) -> NamedCalls<S> {
        NamedCalls { task: self.task, service }
    }
}

impl<S, R> Service<R> for NamedCalls<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        named(self.task, self.service.call(request)).boxed()
    }
}
