//! How a route is written: its method, its path and its handler, then the right that it demands, and then what else there
//! is to say of it. A route without a right does not compile.

use crate::auth::policy::{AcceptedCredentials, Policy, Right};
use crate::domain::role::{Area, Level};
use crate::http::description::Description;
use crate::registry::audit::Event;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, HttpMessage, HttpRequest, Responder, guard, web};
use std::marker::PhantomData;

/// The scope that reads.
pub(super) const fn read(area: Area) -> (Area, Level) {
    (area, Level::Read)
}

/// The scope that writes.
pub(super) const fn write(area: Area) -> (Area, Level) {
    (area, Level::Write)
}

/// A kind of routes whose handlers are rendered alike.
pub(super) trait Face {
    /// The credentials that its routes accept unless they say otherwise.
    const CREDENTIALS: AcceptedCredentials;
}

/// A handler of a face. `I` lets the compiler tell the faces' implementations apart.
pub(super) trait Serve<F: Face, I> {
    /// The handler with the face's rendering of its errors around it.
    fn service(self) -> Service;
}

/// A handler that actix can serve, once its policy is known.
pub(super) struct Service {
    make: Box<dyn FnOnce(&Method, Policy) -> actix_web::Route>,
    describe: Option<fn(&mut Description)>,
}

impl Service {
    /// `describe` says what the handler's types take and answer.
    pub(super) fn new<F, I>(handler: F, describe: Option<fn(&mut Description)>) -> Self
    where
        F: Handler<I, Output: Responder>,
        I: FromRequest + 'static,
    {
        let make = move |method: &Method, policy: Policy| {
            let route = match *method {
                Method::GET => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
                ref other => web::method(other.clone()),
            };
            route.to(move |req: HttpRequest, inputs: I| {
                req.extensions_mut().insert(policy);
                handler.call(inputs)
            })
        };
        Self { make: Box::new(make), describe }
    }
}

/// A row of the table.
pub struct Row {
    pub method: Method,
    /// As actix matches it; a `{name}` is one segment.
    pub path: &'static str,
    pub policy: Policy,
    /// What it does, in a few words.
    pub about: &'static str,
    /// The operation's name in the OpenAPI document. Generated clients name their functions by it, so it never changes.
    /// Empty for pages.
    pub id: &'static str,
    also: Vec<(StatusCode, &'static str)>,
    service: Service,
}

impl Row {
    /// What it takes and answers; `None` for pages, which are for people.
    pub(super) fn description(&self) -> Option<Description> {
        let mut description = Description::default();
        self.service.describe?(&mut description);
        if self.method == Method::GET && ["{owner}", "{org}", "{user}"].iter().any(|name| self.path.contains(name)) {
            let about = "The owner has another name now; Location says where";
            description.answers(StatusCode::TEMPORARY_REDIRECT, about);
        }
        for (status, about) in &self.also {
            description.refuses(*status, about);
        }
        Some(description)
    }

    /// As actix serves it.
    pub(super) fn into_route(self) -> actix_web::Route {
        (self.service.make)(&self.method, self.policy)
    }
}

/// Routes of one face.
pub(super) struct Routes<F> {
    rows: Vec<Row>,
    face: PhantomData<F>,
}

/// A route whose right is still to be said.
pub(super) struct WithoutRight<F> {
    routes: Routes<F>,
    method: Method,
    path: &'static str,
    service: Service,
}

impl<F: Face> WithoutRight<F> {
    /// What the caller must be, beyond the scope of their token.
    pub(super) fn right(mut self, right: Right) -> Routes<F> {
        let policy = Policy { credentials: F::CREDENTIALS, scope: None, right, event: None };
        let Self { method, path, service, .. } = self;
        self.routes.rows.push(Row { method, path, policy, about: "", id: "", also: Vec::new(), service });
        self.routes
    }
}

/// Each of the first five adds a route; the others say more of the last one.
impl<F: Face> Routes<F> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), face: PhantomData }
    }

    pub(super) fn get<I>(self, path: &'static str, handler: impl Serve<F, I>) -> WithoutRight<F> {
        self.add(Method::GET, path, handler)
    }

    pub(super) fn post<I>(self, path: &'static str, handler: impl Serve<F, I>) -> WithoutRight<F> {
        self.add(Method::POST, path, handler)
    }

    pub(super) fn put<I>(self, path: &'static str, handler: impl Serve<F, I>) -> WithoutRight<F> {
        self.add(Method::PUT, path, handler)
    }

    pub(super) fn patch<I>(self, path: &'static str, handler: impl Serve<F, I>) -> WithoutRight<F> {
        self.add(Method::PATCH, path, handler)
    }

    pub(super) fn delete<I>(self, path: &'static str, handler: impl Serve<F, I>) -> WithoutRight<F> {
        self.add(Method::DELETE, path, handler)
    }

    fn add<I>(self, method: Method, path: &'static str, handler: impl Serve<F, I>) -> WithoutRight<F> {
        WithoutRight { routes: self, method, path, service: handler.service() }
    }

    fn last(mut self, change: impl FnOnce(&mut Row)) -> Self {
        if let Some(row) = self.rows.last_mut() {
            change(row);
        }
        self
    }

    /// What a token must be good for.
    pub(super) fn scope(self, scope: (Area, Level)) -> Self {
        self.last(|row| row.policy.scope = Some(scope))
    }

    /// The credentials it accepts, where they are not the face's usual ones.
    pub(super) fn credentials(self, credentials: AcceptedCredentials) -> Self {
        self.last(|row| row.policy.credentials = credentials)
    }

    /// The one audit record that the change leaves.
    pub(super) fn event(self, event: Event) -> Self {
        self.last(|row| row.policy.event = Some(event))
    }

    /// The operation's name in the OpenAPI document.
    pub(super) fn id(self, id: &'static str) -> Self {
        self.last(|row| row.id = id)
    }

    /// What it does, in a few words.
    pub(super) fn about(self, about: &'static str) -> Self {
        self.last(|row| row.about = about)
    }

    /// What it takes and answers, for handlers whose types do not say so.
    pub(super) fn described_by(self, describe: fn(&mut Description)) -> Self {
        self.last(|row| row.service.describe = Some(describe))
    }

    /// An answer that neither its policy nor its handler's types foresee.
    pub(super) fn says(self, status: u16, about: &'static str) -> Self {
        self.last(|row| row.also.extend(StatusCode::from_u16(status).ok().map(|status| (status, about))))
    }

    /// All of them.
    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}
