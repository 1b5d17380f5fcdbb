//! How a route is written: its method, its path and its handler, then the right that it demands, then everything else
//! about it. A route without a right does not compile.

use crate::auth::policy::{AcceptedCredentials, Policy, Right};
use crate::domain::role::{Area, Level};
use crate::http::description::Description;
use crate::registry::audit::Event;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, HttpMessage, HttpRequest, Responder, guard, web};
use std::marker::PhantomData;

/// The scope for reading.
pub(super) const fn read(area: Area) -> (Area, Level) {
    (area, Level::Read)
}

/// The scope for writing.
pub(super) const fn write(area: Area) -> (Area, Level) {
    (area, Level::Write)
}

/// A group of routes whose handlers are rendered in the same way.
pub(super) trait Interface {
    /// The credentials that its routes accept by default.
    const CREDENTIALS: AcceptedCredentials;
}

/// A handler of an interface. `I` lets the compiler tell the interfaces' implementations apart.
pub(super) trait Serve<F: Interface, I> {
    /// The handler, wrapped so that its errors are rendered in the interface's format.
    fn service(self) -> Service;
}

/// Makes what actix serves of a handler, for a method and a policy.
type MakeRoute = Box<dyn FnOnce(&Method, Policy) -> actix_web::Route>;

/// A handler that actix can serve, once its policy is known.
pub(super) struct Service {
    make: MakeRoute,
    describe: Option<fn(&mut Description)>,
}

impl Service {
    /// `describe` documents the inputs and answers of the handler's types.
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
    /// The path in actix's syntax; a `{name}` is one segment.
    pub path: &'static str,
    pub policy: Policy,
    /// A short summary.
    pub about: &'static str,
    /// The operation's name in the OpenAPI document. Generated clients name their functions after it, so it never
    /// changes.
    /// Empty for pages.
    pub id: &'static str,
    /// Whether scripts of other sites may read what everybody may read here.
    pub cross_origin: bool,
    /// Whether the address answers in exactly this spelling alone.
    pub exact: bool,
    /// Whether its last name is the rest of the path, with slashes.
    pub takes_rest: bool,
    also: Vec<(StatusCode, &'static str)>,
    service: Service,
}

impl Row {
    /// The description of its inputs and answers; `None` for pages, which are for people.
    pub(super) fn description(&self) -> Option<Description> {
        let mut description = Description::default();
        self.service.describe?(&mut description);
        if self.method == Method::GET && ["{owner}", "{org}", "{user}"].iter().any(|name| self.path.contains(name)) {
            let about = "The owner was renamed; Location has the new address";
            description.answers(StatusCode::TEMPORARY_REDIRECT, about);
        }
        for (status, about) in &self.also {
            description.refuses(*status, about);
        }
        Some(description)
    }

    /// The route in actix's form.
    pub(super) fn into_route(self) -> actix_web::Route {
        (self.service.make)(&self.method, self.policy)
    }
}

/// The routes of one interface.
pub(super) struct Routes<F> {
    rows: Vec<Row>,
    interface: PhantomData<F>,
}

/// A route that still needs its right.
pub(super) struct WithoutRight<F> {
    routes: Routes<F>,
    method: Method,
    path: &'static str,
    service: Service,
}

impl<F: Interface> WithoutRight<F> {
    /// The right that the caller needs, in addition to the scope of their token.
    pub(super) fn right(mut self, right: Right) -> Routes<F> {
        let policy = Policy { credentials: F::CREDENTIALS, scope: None, right, event: None };
        let Self { method, path, service, .. } = self;
        let (cross_origin, exact, takes_rest) = (false, false, false);
        let (about, id, also) = ("", "", Vec::new());
        let row = Row { method, path, policy, about, id, cross_origin, exact, takes_rest, also, service };
        self.routes.rows.push(row);
        self.routes
    }
}

/// Each of the first five methods adds a route; the others add to the last route.
impl<F: Interface> Routes<F> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), interface: PhantomData }
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

    /// The scope that a token needs.
    pub(super) fn scope(self, scope: (Area, Level)) -> Self {
        self.last(|row| row.policy.scope = Some(scope))
    }

    /// The accepted credentials, if they differ from the interface's default.
    pub(super) fn credentials(self, credentials: AcceptedCredentials) -> Self {
        self.last(|row| row.policy.credentials = credentials)
    }

    /// The audit event that the change records.
    pub(super) fn event(self, event: Event) -> Self {
        self.last(|row| row.policy.event = Some(event))
    }

    /// Lets scripts of other sites read what everybody may read here: its handler says which answers these are.
    pub(super) fn cross_origin(self) -> Self {
        self.last(|row| row.cross_origin = true)
    }

    /// Answers in exactly this spelling alone, for addresses that a proxy keeps from strangers by their spelling.
    pub(super) fn exact(self) -> Self {
        self.last(|row| row.exact = true)
    }

    /// Gives the last name the rest of the path, with slashes: all methods of this address must say so.
    pub(super) fn takes_rest(self) -> Self {
        self.last(|row| row.takes_rest = true)
    }

    /// The operation's name in the OpenAPI document.
    pub(super) fn id(self, id: &'static str) -> Self {
        self.last(|row| row.id = id)
    }

    /// A short summary.
    pub(super) fn about(self, about: &'static str) -> Self {
        self.last(|row| row.about = about)
    }

    /// The description of its inputs and answers, for handlers whose types do not describe them.
    pub(super) fn described_by(self, describe: fn(&mut Description)) -> Self {
        self.last(|row| row.service.describe = Some(describe))
    }

    /// An answer that follows neither from its policy nor from its handler's types.
    pub(super) fn says(self, status: u16, about: &'static str) -> Self {
        self.last(|row| row.also.extend(StatusCode::from_u16(status).ok().map(|status| (status, about))))
    }

    /// All routes.
    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}
