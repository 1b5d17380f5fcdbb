//! What a connection's gate and the handling of its requests tell each other.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;

/// One request and its answer, seen from both sides of actix. It is part of the connection's data, and begins anew with
/// each request.
#[derive(Clone, Default)]
pub struct Exchange(Rc<State>);

#[derive(Default)]
struct State {
    answered: Cell<bool>,
    closes: Cell<bool>,
    wants_body: Cell<bool>,
    malformed: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Exchange {
    /// A request begins.
    pub(super) fn begin(&self) {
        self.0.answered.set(false);
        self.0.wants_body.set(false);
        self.0.malformed.set(false);
    }

    /// The answer was handed to actix, to its last byte.
    pub(super) fn set_answered(&self) {
        self.0.answered.set(true);
        self.wake();
    }

    pub(super) fn is_answered(&self) -> bool {
        self.0.answered.get()
    }

    /// The answer says that it is the connection's last.
    pub(super) fn set_closes(&self) {
        self.0.closes.set(true);
    }

    pub(super) fn closes(&self) -> bool {
        self.0.closes.get()
    }

    /// The handler begins to read the body: a client that waits for `100 Continue` gets it.
    pub fn want_body(&self) {
        if !self.0.wants_body.replace(true) {
            self.wake();
        }
    }

    pub(super) fn wants_body(&self) -> bool {
        self.0.wants_body.get()
    }

    pub(super) fn set_malformed(&self) {
        self.0.malformed.set(true);
    }

    /// Whether the body ends early because its chunks are malformed.
    pub fn is_malformed(&self) -> bool {
        self.0.malformed.get()
    }

    /// The connection is polled again when there is an answer.
    pub(super) fn wake_when_answered(&self, waker: &Waker) {
        let known = self.0.waker.take().filter(|known| known.will_wake(waker));
        self.0.waker.set(Some(known.unwrap_or_else(|| waker.clone())));
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}
