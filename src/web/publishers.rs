//! The trusted publishers of an owner: the list, and a small form for each system that issues identity tokens.

use super::format::When;
use super::forms::Protected;
use super::list::{Choice, choices};
use super::login::Nothing;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use super::publisher_form::{Field, PublisherForm};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::publisher::Provider;
use crate::domain::role::Level;
use crate::error::{Error, Result, What};
use crate::http::paging::param;
use crate::registry::access::can_share;
use crate::registry::caller::Caller;
use crate::registry::owners::publishers::{self, Publisher, PublisherEdit};
use crate::registry::pages::Slice;
use askama::Template;

/// The systems, each with its form.
const PROVIDERS: [(&str, &str); 6] = [
    ("github", "GitHub Actions"),
    ("gitlab", "GitLab CI"),
    ("forgejo", "Forgejo Actions"),
    ("gitea", "Gitea Actions"),
    ("kubernetes", "Kubernetes"),
    ("other", "Another system"),
];

const NAME_TAKEN: &str = "a publisher or a robot has this name: choose another";

/// The system whose form a request is about.
fn provider_of(call: &Call) -> Provider {
    param(&call.req, "provider").and_then(|word| word.parse().ok()).unwrap_or(Provider::Github)
}

#[derive(Template)]
#[template(path = "publishers.html")]
struct PublishersPage {
    frame: Frame,
    owner: Owner,
    publishers: Vec<Publisher>,
    now: Timestamp,
    provider: Provider,
    providers: Vec<Choice>,
    form: PublisherForm,
    problems: Problems,
}

impl PublishersPage {
    fn fields(&self) -> Vec<Field<'_>> {
        self.form.fields(self.provider)
    }

    /// The form of this system.
    fn form_url(&self) -> String {
        format!("{}?provider={}", address::publishers(&self.owner.name), self.provider)
    }

    fn access_url(&self) -> String {
        address::access(&self.owner.name)
    }

    fn edit_url(&self, publisher: &Publisher) -> String {
        address::publisher_edit(&self.owner.name, publisher.id)
    }

    fn deletion_url(&self, publisher: &Publisher) -> String {
        address::publisher_deletion(&self.owner.name, publisher.id)
    }

    fn used(&self, publisher: &Publisher) -> Option<When> {
        publisher.last_used_at.map(|at| When { at, now: self.now })
    }
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

async fn page(call: &Call, name: OwnerName, form: Option<PublisherForm>, problems: Problems) -> Result<Reply> {
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_share(conn, caller, &name, Level::Read)?;
        let publishers = publishers::list(conn, &right, Slice::WHOLE)?.items;
        Ok((Owner::of(conn, caller, right.owner())?, publishers))
    };
    let (frame, (owner, publishers)) = frame(call, load).await?;
    let (provider, now) = (provider_of(call), call.app.clock.now());
    let form = form.unwrap_or_else(|| PublisherForm::of(provider));
    let providers = choices(&call.req, "provider", &PROVIDERS);
    let page = PublishersPage { frame, owner, publishers, now, provider, providers, form, problems };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /{owner}/-/publishers`.
pub async fn show(call: Call) -> Result<Reply> {
    let owner = owner(&call).await?;
    page(&call, owner, None, Problems::default()).await
}

/// `POST /{owner}/-/publishers`.
pub async fn create(call: Call, form: Protected<PublisherForm>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let new = form.read(provider_of(&call), None, &mut problems).filter(|_| problems.is_empty());
    let new = new.and_then(|new| problems.take("issuer", call.app.issuers.check(&new.trust.issuer)).map(|()| new));
    if let Some(new) = new {
        let (of, now) = (owner.clone(), call.app.clock.now());
        let made = call.writing(move |conn, caller| {
            let right = can_share(conn, caller, &of, Level::Write)?;
            publishers::create(conn, caller, &right, &new, now)
        });
        match made.await {
            Ok(publisher) => {
                let notice = format!("Publisher {} created.", publisher.account);
                return Ok(Reply::to(&address::publishers(&owner)).notice(&call.app, &notice));
            }
            Err(Error::Conflict(_)) => problems.add("name", NAME_TAKEN),
            Err(error) => problems = Problems::of(error, "name")?,
        }
    }
    page(&call, owner, Some(form), problems).await
}

/// The form that changes a publisher.
#[derive(Template)]
#[template(path = "publisher_edit.html")]
struct EditPage {
    frame: Frame,
    owner: Owner,
    publisher: Publisher,
    provider: Provider,
    form: PublisherForm,
    /// Whether the form lacks the publisher's conditions, which then stay as they are.
    keeps_conditions: bool,
    problems: Problems,
}

impl EditPage {
    fn fields(&self) -> Vec<Field<'_>> {
        if self.keeps_conditions { self.form.other_fields(self.provider) } else { self.form.fields(self.provider) }
    }

    fn action(&self) -> String {
        address::publisher_edit(&self.owner.name, self.publisher.id)
    }

    fn list_url(&self) -> String {
        address::publishers(&self.owner.name)
    }
}

async fn id_of(call: &Call) -> Result<OwnerId> {
    Ok(OwnerId(call.part("publisher", What::Publisher).await?))
}

async fn edit_page(
    call: &Call,
    (name, id): (OwnerName, OwnerId),
    typed: Option<PublisherForm>,
    problems: Problems,
) -> Result<Reply> {
    let (frame, (owner, publisher)) = frame(call, move |conn, caller| {
        let right = can_share(conn, caller, &name, Level::Write)?;
        let publisher = publishers::find(conn, &right, id)?;
        Ok((Owner::of(conn, caller, right.owner())?, publisher))
    })
    .await?;
    let (form, keeps_conditions) = PublisherForm::of_publisher(&publisher);
    let (form, provider) = (typed.unwrap_or(form), publisher.trust.provider);
    let page = EditPage { frame, owner, publisher, provider, form, keeps_conditions, problems };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /{owner}/-/publishers/{publisher}/edit`.
pub async fn edit_form(call: Call) -> Result<Reply> {
    let names = (owner(&call).await?, id_of(&call).await?);
    edit_page(&call, names, None, Problems::default()).await
}

/// `POST /{owner}/-/publishers/{publisher}/edit`.
pub async fn edit(call: Call, form: Protected<PublisherForm>) -> Result<Reply> {
    let (owner, id) = (owner(&call).await?, id_of(&call).await?);
    let form = form.read(&call).await?;
    let of = owner.clone();
    let found = call.reading(move |conn, caller| {
        let right = can_share(conn, caller, &of, Level::Write)?;
        publishers::find(conn, &right, id)
    });
    let (before, mut problems) = (found.await?, Problems::default());
    let (_, keeps_conditions) = PublisherForm::of_publisher(&before);
    let kept = keeps_conditions.then(|| before.trust.conditions.clone());
    let new = form.read(before.trust.provider, kept, &mut problems).filter(|_| problems.is_empty());
    let new = new.and_then(|new| {
        let is_known = new.trust.issuer == before.trust.issuer;
        let allowed = if is_known { Ok(()) } else { call.app.issuers.check(&new.trust.issuer) };
        problems.take("issuer", allowed).map(|()| new)
    });
    if let Some(new) = new {
        let (of, now, edit) = (owner.clone(), call.app.clock.now(), PublisherEdit::from(new));
        let changed = call.writing(move |conn, caller| {
            let right = can_share(conn, caller, &of, Level::Write)?;
            publishers::update(conn, caller, &right, (id, &edit), now)
        });
        match changed.await {
            Ok(publisher) => {
                let notice = format!("Publisher {} saved.", publisher.account);
                return Ok(Reply::to(&address::publishers(&owner)).notice(&call.app, &notice));
            }
            Err(Error::Conflict(_)) => problems.add("name", NAME_TAKEN),
            Err(error) => problems = Problems::of(error, "name")?,
        }
    }
    edit_page(&call, (owner, id), Some(form), problems).await
}

/// `POST /{owner}/-/publishers/{publisher}/delete`.
pub async fn delete(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (owner, id) = (owner(&call).await?, id_of(&call).await?);
    form.read(&call).await?;
    let (of, now) = (owner.clone(), call.app.clock.now());
    let deleted = call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &of, Level::Write)?;
        publishers::delete(conn, caller, &right, id, now)
    });
    let notice = format!("Publisher {} deleted. Its tokens no longer work.", deleted.await?.account);
    Ok(Reply::to(&address::publishers(&owner)).notice(&call.app, &notice))
}
