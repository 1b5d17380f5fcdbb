//! The route table against the server: every route, every role, every kind of credential. The expected answer is
//! derived from the route's row alone. A change adds the one audit entry that its row names, and a refusal adds none.

use crate::support::browser::Browser;
use crate::support::people::{db_token, db_user, new_org, new_team, password_hash};
use crate::support::{Client, PASSWORD, Site, morning, path};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use packhouse::auth::policy::{AcceptedCredentials, Right};
use packhouse::domain::names::OwnerName;
use packhouse::domain::publisher::{Condition, Provider, Trust};
use packhouse::domain::role::{Level, Permission, Scope, Visibility};
use packhouse::domain::secret::TokenSecret;
use packhouse::domain::text::Prose;
use packhouse::registry::access::{can_govern, can_share};
use packhouse::registry::audit::Event;
use packhouse::registry::caller::Caller;
use packhouse::registry::owners::grants::{self, Gift, NewGrantee};
use packhouse::registry::owners::publishers::{self, NewPublisher};
use packhouse::registry::owners::{members, org_creation, robots, teams};
use packhouse::routes::{Row, table};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;

/// The role of the caller in the organization of the path. Every role except anonymous has an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Person {
    Anonymous,
    Stranger,
    Reader,
    Writer,
    Owner,
    Removed,
    Locked,
    Administrator,
    /// A robot of the organization `open`, which may publish all of its packages and nothing else.
    Robot,
    /// A stranger without a password, who signed in with a passkey and has just confirmed with it.
    PasskeyOnly,
    /// A stranger without a password, who signed in at an OpenID Connect provider, and has just done so again.
    ProviderOnly,
}

impl Person {
    /// The account. Anonymous callers use an account whose credentials are all invalid.
    fn name(self) -> &'static str {
        match self {
            Self::Anonymous | Self::Stranger => "stranger",
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Owner => "owner",
            Self::Removed => "removed",
            Self::Locked => "locked",
            Self::Administrator => "admin",
            Self::Robot => "open/robot",
            Self::PasskeyOnly => "keyholder",
            Self::ProviderOnly => "employee",
        }
    }

    fn permission(self) -> Option<Permission> {
        match self {
            Self::Reader => Some(Permission::Read),
            Self::Writer => Some(Permission::Write),
            Self::Owner => Some(Permission::Owner),
            _ => None,
        }
    }
}

/// The kind of credential that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Cookie,
    Bearer(Token),
    TokenScheme,
    BasicTokenAsPassword,
    BasicTokenAsUser,
    BasicTokenOauth,
    Password,
    HeadWithBearer,
}

/// The scope of an access token, relative to the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Exactly the scope that the route requires, or a package scope if it requires none.
    Fitting,
    All,
    /// Read access to the area of the route.
    ReadOnly,
    /// Write access to every other area.
    WrongScope,
    PublicOnly,
    Expired,
    Revoked,
    Unknown,
}

const SENT: [Sent; 16] = [
    Sent::Nothing,
    Sent::Cookie,
    Sent::Bearer(Token::Fitting),
    Sent::Bearer(Token::All),
    Sent::Bearer(Token::ReadOnly),
    Sent::Bearer(Token::WrongScope),
    Sent::Bearer(Token::PublicOnly),
    Sent::Bearer(Token::Expired),
    Sent::Bearer(Token::Revoked),
    Sent::Bearer(Token::Unknown),
    Sent::TokenScheme,
    Sent::BasicTokenAsPassword,
    Sent::BasicTokenAsUser,
    Sent::BasicTokenOauth,
    Sent::Password,
    Sent::HeadWithBearer,
];

/// The ways of sending a token, besides the usual one.
const SENDINGS: [Sent; 4] =
    [Sent::TokenScheme, Sent::BasicTokenAsPassword, Sent::BasicTokenAsUser, Sent::BasicTokenOauth];
/// Tokens that are no good.
const BAD: [Sent; 3] = [Sent::Bearer(Token::Expired), Sent::Bearer(Token::Revoked), Sent::Bearer(Token::Unknown)];

impl Sent {
    /// The token that the credential contains.
    fn token(self) -> Option<Token> {
        match self {
            Self::Bearer(token) => Some(token),
            Self::TokenScheme | Self::BasicTokenAsPassword | Self::BasicTokenAsUser | Self::BasicTokenOauth => {
                Some(Token::Fitting)
            }
            Self::HeadWithBearer => Some(Token::Fitting),
            Self::Nothing | Self::Cookie | Self::Password => None,
        }
    }
}

/// The expected answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Unauthenticated,
    Forbidden,
    Absent,
}

/// Derives the expected answer from the row of the table.
fn expected(row: &Row, person: Person, sent: Sent, visibility: Visibility) -> Outcome {
    let policy = row.policy;
    let pages = policy.credentials == AcceptedCredentials::Session;
    let takes_cookies =
        pages || matches!(policy.credentials, AcceptedCredentials::SessionOrAny | AcceptedCredentials::Feed);
    let unknown = match sent {
        Sent::Nothing => true,
        Sent::Cookie => !takes_cookies || matches!(person, Person::Anonymous | Person::Locked),
        _ => pages,
    };
    if policy.credentials == AcceptedCredentials::Ignored {
        return Outcome::Done;
    }
    if unknown {
        let seen =
            policy.right == Right::Everybody || policy.right == Right::Reader && visibility == Visibility::Public;
        return if seen { Outcome::Done } else { Outcome::Unauthenticated };
    }
    let worthless = matches!(sent.token(), Some(Token::Expired | Token::Revoked | Token::Unknown));
    if worthless || person == Person::Locked {
        return Outcome::Unauthenticated;
    }
    match (policy.credentials, sent.token()) {
        (AcceptedCredentials::Password, Some(_)) | (AcceptedCredentials::Token, None) => return Outcome::Forbidden,
        _ => {}
    }
    if let (Some((_, level)), Some(token)) = (policy.scope, sent.token()) {
        let enough = match token {
            Token::ReadOnly => level == Level::Read,
            Token::WrongScope => false,
            _ => true,
        };
        if !enough {
            return Outcome::Forbidden;
        }
    }
    let administrator = person == Person::Administrator;
    let sees = administrator || person.permission().is_some() || visibility < Visibility::Private;
    let at_least = |least: Permission| administrator || person.permission() >= Some(least);
    let granted = person == Person::Robot && visibility == Visibility::Public && !row.path.contains("/retention");
    // What is about all packages of an owner is about the hidden ones too.
    let is_about_all =
        ["/retention", "/-/trash", "/-/grants", "/-/protections", "/-/publishers", "hooks", "/admin/audit"];
    if sent.token() == Some(Token::PublicOnly) && is_about_all.iter().any(|part| row.path.contains(part)) {
        return if sees { Outcome::Forbidden } else { Outcome::Absent };
    }
    let by_owner = |right: bool| match (sees, sent.token(), right) {
        (false, ..) => Outcome::Absent,
        (true, Some(Token::PublicOnly), _) if visibility != Visibility::Public => Outcome::Forbidden,
        (true, _, true) => Outcome::Done,
        (true, _, false) => Outcome::Forbidden,
    };
    match policy.right {
        Right::Public | Right::Everybody | Right::SignedIn | Right::AnyUser => Outcome::Done,
        Right::Reader => by_owner(true),
        Right::Writer => by_owner(granted || at_least(Permission::Write)),
        Right::Member => by_owner(at_least(Permission::Read)),
        Right::OrgOwner | Right::Owner => by_owner(at_least(Permission::Owner)),
        Right::PackageAdmin => by_owner(at_least(Permission::Admin)),
        // The user in the path is the owner of the organization.
        Right::SelfOrAdmin if administrator || person == Person::Owner => Outcome::Done,
        Right::SelfOrAdmin => Outcome::Forbidden,
        Right::SiteAdmin if administrator && row.path.contains("{org}") => by_owner(true),
        Right::SiteAdmin if administrator => Outcome::Done,
        Right::SiteAdmin => Outcome::Forbidden,
    }
}

/// A server with a public and a private organization, and a user of each role.
struct World {
    site: Site,
    conn: std::cell::RefCell<PgConnection>,
    count: Cell<u32>,
    /// The cookies and the form token of the current caller.
    session: std::cell::RefCell<Option<(String, String)>>,
    /// The same of a visitor.
    visit: std::cell::RefCell<Option<(String, String)>>,
}

/// A provider that refuses every connection.
const UNREACHABLE: &str = "http://127.0.0.1:1";

const ORGS: [(&str, Visibility); 2] = [("open", Visibility::Public), ("closed", Visibility::Private)];
const PEOPLE: [Person; 11] = [
    Person::Anonymous,
    Person::Stranger,
    Person::Reader,
    Person::Writer,
    Person::Owner,
    Person::Removed,
    Person::Locked,
    Person::Administrator,
    Person::Robot,
    Person::PasskeyOnly,
    Person::ProviderOnly,
];

impl World {
    async fn new(person: Person) -> Self {
        // Mail is written and never sent.
        let site = Site::with(&[
            ("PACKHOUSE_SECURITY_CONTACT", "mailto:security@example.org"),
            ("PACKHOUSE_PUBLIC_URL", "http://localhost"),
            ("PACKHOUSE_MAIL_SMTP_URL", "smtps://mail.example.org"),
            ("PACKHOUSE_MAIL_FROM", "packhouse@example.org"),
            ("PACKHOUSE_AUTH_OIDC_NAME", "corp"),
            ("PACKHOUSE_AUTH_OIDC_ISSUER", UNREACHABLE),
            ("PACKHOUSE_AUTH_OIDC_CLIENT_ID", "packhouse"),
        ]);
        let conn = PgConnection::establish(&site.url).unwrap().into();
        let world = Self { site, conn, count: Cell::new(0), session: None.into(), visit: None.into() };
        world.db(|conn| {
            for person in PEOPLE {
                if !["stranger", "admin", "open/robot"].contains(&person.name()) {
                    db_user(conn, person.name(), Visibility::Public, false).unwrap();
                }
            }
            for name in ["guest", "member"] {
                db_user(conn, name, Visibility::Public, false).unwrap();
            }
            for (org, visibility) in ORGS {
                db_org(conn, org, visibility);
            }
            db_robot(conn, "open", "robot");
            let everything = Gift::new("*".parse().unwrap(), Permission::Write).unwrap();
            let share = can_share(conn, &Caller::command_line(), &"open".parse().unwrap(), Level::Write).unwrap();
            let to = NewGrantee::Robot("robot".parse().unwrap());
            grants::create(conn, &Caller::command_line(), &share, (&to, &everything), morning()).unwrap();
        });
        if person == Person::Locked {
            let mut browser = world.site.browser_of("locked").await;
            browser.go("/").await;
            *world.session.borrow_mut() = Some((browser.cookie_header(), browser.csrf()));
        }
        world.db(|conn| {
            diesel::sql_query("UPDATE users SET is_locked = true WHERE lower_email LIKE 'locked@%'")
                .execute(conn)
                .unwrap()
        });
        for (org, _) in ORGS {
            world.site.admin().publish(&path(&[org, "tool", "1", "f"]), "hello").await;
        }
        world
    }

    fn db<T>(&self, work: impl FnOnce(&mut PgConnection) -> T) -> T {
        work(&mut self.conn.borrow_mut())
    }

    /// A name that isn't used yet.
    fn fresh(&self, what: &str) -> String {
        self.count.set(self.count.get() + 1);
        format!("{what}{}", self.count.get())
    }

    /// The cookies and the form token of a browser in which a user is signed in, or which is at the sign-in page. It is
    /// the same one until its session ends.
    async fn browser(&self, person: Person) -> (String, String) {
        if let Some(known) = self.session.borrow().as_ref() {
            return known.clone();
        }
        let mut browser = match person {
            Person::Anonymous | Person::Robot => self.site.browser(),
            // A locked user has a session from before the lock.
            Person::Locked => return self.session.borrow().clone().unwrap(),
            Person::PasskeyOnly => self.db_session_by(person.name(), PASSKEY).await,
            Person::ProviderOnly => self.db_session_by(person.name(), IDENTITY).await,
            _ => self.site.browser_of(person.name()).await,
        };
        let guest = matches!(person, Person::Anonymous | Person::Robot);
        browser.go(if guest { "/login" } else { "/" }).await.is(200);
        let found = (browser.cookie_header(), browser.csrf());
        *self.session.borrow_mut() = Some(found.clone());
        found
    }

    /// A browser of a user who has no password, and signed in with what this statement inserts.
    async fn db_session_by(&self, name: &str, insert: &str) -> Browser {
        let (hash, of_user) = (password_hash(), format!("WHERE id = (SELECT id FROM owners WHERE name = '{name}')"));
        self.site.db_execute(&format!("UPDATE users SET password_hash = '{hash}' {of_user}"));
        let browser = self.site.browser_of(name).await;
        self.site.db_execute(&format!("UPDATE users SET password_hash = NULL {of_user}"));
        self.db_insert(name, &self.fresh("way in"), insert);
        self.site.db_execute("UPDATE sessions SET confirmed_at = created_at");
        browser
    }

    /// The `Authorization` header of a user, and the other headers of the request.
    fn client(&self, row: &Row, person: Person, sent: Sent) -> Client {
        let (site, name) = (&self.site, person.name());
        let anon = site.anon();
        let area = row.policy.scope.map(|(area, _)| area);
        let token = |kind: Token| {
            let scopes: Vec<String> = match (kind, row.policy.scope) {
                (Token::Fitting | Token::Expired | Token::Revoked, Some((area, level))) => {
                    vec![Scope::Of(area, level).to_string()]
                }
                (Token::ReadOnly, Some((area, _))) => vec![Scope::Of(area, Level::Read).to_string()],
                (Token::WrongScope, _) => ["package", "user", "organization", "admin", "misc"]
                    .iter()
                    .filter(|word| {
                        area.is_none_or(|area| Scope::Of(area, Level::Read).to_string() != format!("read:{word}"))
                    })
                    .map(|word| format!("write:{word}"))
                    .collect(),
                (Token::PublicOnly, _) => vec!["all".to_owned(), "public-only".to_owned()],
                (Token::All, _) => vec!["all".to_owned()],
                (Token::Unknown, _) => return TokenSecret::generate().reveal().to_owned(),
                (_, None) => vec!["write:package".to_owned()],
            };
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let called = self.fresh("token ");
            let expires = (kind == Token::Expired).then(|| morning().minus(Duration::from_secs(1)));
            self.db(|conn| {
                let secret = db_token(conn, name, &called, &scopes, |_| {}).unwrap();
                let change = diesel::sql_query("UPDATE tokens SET expires_at = $2 WHERE name = $1");
                if let Some(time) = expires {
                    change
                        .bind::<Text, _>(&called)
                        .bind::<diesel::sql_types::Timestamptz, _>(time)
                        .execute(conn)
                        .unwrap();
                }
                if kind == Token::Revoked {
                    let delete = diesel::sql_query("DELETE FROM tokens WHERE name = $1");
                    delete.bind::<Text, _>(&called).execute(conn).unwrap();
                }
                secret
            })
        };
        match sent {
            Sent::Nothing | Sent::Cookie => anon,
            Sent::Bearer(kind) => anon.bearer(&token(kind)),
            Sent::HeadWithBearer => anon.bearer(&token(Token::Fitting)),
            Sent::TokenScheme => anon.authorized(format!("token {}", token(Token::Fitting))),
            Sent::BasicTokenAsPassword => anon.basic("whoever", &token(Token::Fitting)),
            Sent::BasicTokenAsUser => anon.basic(&token(Token::Fitting), ""),
            Sent::BasicTokenOauth => anon.basic(&token(Token::Fitting), "x-oauth-basic"),
            Sent::Password => anon.basic(name, PASSWORD),
        }
    }

    /// The cookies and the form token of a visitor.
    async fn visit(&self) -> (String, String) {
        if let Some(known) = self.visit.borrow().as_ref() {
            return known.clone();
        }
        let mut browser = self.site.browser();
        browser.go("/login").await.is(200);
        let found = (browser.cookie_header(), browser.csrf());
        *self.visit.borrow_mut() = Some(found.clone());
        found
    }

    fn db_team(&self, org: &str, name: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = "SELECT t.id AS n FROM teams t JOIN owners o ON o.id = t.org_id WHERE o.name = $1 AND t.name = $2";
        let query = diesel::sql_query(query).bind::<Text, _>(org).bind::<Text, _>(name);
        self.db(|conn| query.get_result::<Row>(conn).unwrap().n)
    }

    /// The only webhook of an owner, and one of its deliveries.
    fn db_hook(&self, owner: &str) -> (i64, i64) {
        #[derive(QueryableByName)]
        struct Ids {
            #[diesel(sql_type = BigInt)]
            hook: i64,
            #[diesel(sql_type = BigInt)]
            delivery: i64,
        }
        let query = diesel::sql_query(
            "WITH gone AS (DELETE FROM hooks), hook AS (INSERT INTO hooks (owner_id, kind, url, content, active, created_at, \
             updated_at) SELECT id, 0, 'https://ci.example.org/', 0, true, now(), now() FROM owners WHERE name = $1 \
             RETURNING id, owner_id), facts AS (SELECT jsonb_build_object('id', id, 'name', name, 'full_name', '', \
             'visibility', 0, 'created_at', created_at) AS party FROM owners WHERE name = $1), \
             delivery AS (INSERT INTO hook_deliveries (hook_id, uuid, action, is_test, facts, state, created_at, \
             retry_until) SELECT hook.id, gen_random_uuid(), 0, false, jsonb_build_object('id', 1, 'package', 'tool', \
             'version', '1', 'created_at', now(), 'owner', party, 'owner_kind', 0, 'about', jsonb_build_object( \
             'description', '', 'website', '', 'location', '')), 1, now(), now() FROM hook, facts RETURNING id) \
             SELECT hook.id AS hook, delivery.id AS delivery FROM hook, delivery",
        );
        let ids: Ids = self.db(|conn| query.bind::<Text, _>(owner).get_result(conn).unwrap());
        (ids.hook, ids.delivery)
    }

    /// A new grant of an organization to a guest, for packages that nobody has.
    fn db_grant(&self, org: &str, pattern: &str) -> i64 {
        self.db_insert(
            org,
            pattern,
            "INSERT INTO grants (owner_id, pattern, lower_pattern, user_id, permission, created_at, updated_at) \
             SELECT o.id, $2, $2, (SELECT id FROM owners WHERE name = 'guest'), 1, now(), now() FROM owners o \
             WHERE o.name = $1 RETURNING id AS n",
        )
    }

    /// A new protection rule of an organization, which allows everything.
    fn db_protection(&self, org: &str, name: &str) -> i64 {
        self.db_insert(
            org,
            name,
            "INSERT INTO protections (owner_id, name, lower_name, packages, versions, publish, replace, remove, created_at, \
             updated_at) SELECT o.id, $2, $2, '*', '*', 2, 2, 2, now(), now() FROM owners o WHERE o.name = $1 \
             RETURNING id AS n",
        )
    }

    /// A new trusted publisher of an organization, instead of all others.
    fn db_publisher(&self, org: &str, name: &str) {
        self.db(|conn| {
            diesel::sql_query("DELETE FROM owners WHERE id IN (SELECT id FROM publishers)").execute(conn).unwrap();
            let caller = Caller::command_line();
            let right = can_share(conn, &caller, &org.parse().unwrap(), Level::Write).unwrap();
            let conditions = vec![Condition::equals("sub", "job")];
            let issuer = "https://ci.example.org".parse().unwrap();
            let trust = Trust { provider: Provider::Other, issuer, conditions, environment: None };
            let new = NewPublisher { name: name.parse().unwrap(), packages: "a".parse().unwrap(), trust };
            publishers::create(conn, &caller, &right, &new, morning()).unwrap();
        });
    }

    fn db_insert(&self, org: &str, text: &str, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = diesel::sql_query(sql).bind::<Text, _>(org).bind::<Text, _>(text);
        // At most a hundred rules and some hundred grants are allowed.
        self.db(|conn| {
            diesel::sql_query("DELETE FROM protections WHERE id < (SELECT max(id) FROM protections)")
                .execute(conn)
                .unwrap();
            diesel::sql_query("DELETE FROM grants WHERE id < (SELECT max(id) FROM grants) AND pattern <> '*'")
                .execute(conn)
                .unwrap();
            query.get_result::<Row>(conn).unwrap().n
        })
    }

    /// The only retention rule of an owner.
    fn db_rule(&self, owner: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = diesel::sql_query(
            "WITH gone AS (DELETE FROM retention_rules) INSERT INTO retention_rules (owner_id, place, name, lower_name, \
             is_enabled, packages, versions, keep_versions, created_at, updated_at) SELECT id, 1, $2, $2, true, '{}', '{}', \
             '{1}', now(), now() FROM owners WHERE name = $1 RETURNING id AS n",
        );
        let query = query.bind::<Text, _>(owner).bind::<Text, _>(self.fresh("stored"));
        self.db(|conn| query.get_result::<Row>(conn).unwrap().n)
    }

    fn db_file(&self, org: &str, package: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = "SELECT f.id AS n FROM files f JOIN versions v ON v.id = f.version_id \
                     JOIN packages p ON p.id = v.package_id JOIN owners o ON o.id = p.owner_id \
                     WHERE o.name = $1 AND p.name = $2 AND v.version = '1' AND f.name = 'f'";
        let query = diesel::sql_query(query).bind::<Text, _>(org).bind::<Text, _>(package);
        self.db(|conn| query.get_result::<Row>(conn).unwrap().n)
    }

    /// The number of audit entries, and the event and actor of the last one.
    fn records(&self) -> (i64, String) {
        #[derive(QueryableByName)]
        struct Last {
            #[diesel(sql_type = BigInt)]
            n: i64,
            #[diesel(sql_type = Text)]
            text: String,
        }
        let last: Last = self.db(|conn| {
            diesel::sql_query(
                "SELECT coalesce(max(id), 0) AS n, coalesce((SELECT event || ' by ' || actor_name FROM audit ORDER BY id \
                 DESC LIMIT 1), '') AS text FROM audit",
            )
            .get_result(conn)
            .unwrap()
        });
        (last.n, last.text)
    }
}

/// Creates an organization with a member of each team, a former member, and a user who joins and leaves.
fn db_org(conn: &mut PgConnection, name: &str, visibility: Visibility) {
    let caller = Caller::command_line();
    let owner = crate::support::people::db_caller(conn, "owner").unwrap();
    let org: OwnerName = name.parse().unwrap();
    org_creation::create(conn, &owner, &new_org(&org, visibility), morning()).unwrap();
    let right = can_govern(conn, &caller, &org).unwrap();
    for person in [Person::Reader, Person::Writer, Person::Removed] {
        let permission = person.permission().unwrap_or(Permission::Owner);
        let team = teams::create(conn, &caller, &right, &new_team(person.name(), permission), morning()).unwrap();
        let member = person.name().parse().unwrap();
        members::add(conn, &caller, &right, &team, &member, morning()).unwrap();
        if person == Person::Removed {
            members::remove(conn, &caller, &right, &team, &member, morning()).unwrap();
        }
    }
    for (name, member) in [("Guests", None), ("Members", Some("member"))] {
        let team = teams::create(conn, &caller, &right, &new_team(name, Permission::Read), morning()).unwrap();
        if let Some(member) = member {
            members::add(conn, &caller, &right, &team, &member.parse().unwrap(), morning()).unwrap();
        }
    }
}

fn db_robot(conn: &mut PgConnection, org: &str, name: &str) {
    let caller = Caller::command_line();
    let right = can_govern(conn, &caller, &org.parse().unwrap()).unwrap();
    robots::create(conn, &caller, &right, (&name.parse().unwrap(), &Prose::default()), morning()).unwrap();
}

/// Invites the newest user, who has no password any more.
fn db_invite(conn: &mut PgConnection) {
    let of_newest = "UPDATE users SET password_hash = NULL WHERE id = (SELECT max(id) FROM users)";
    diesel::sql_query(of_newest).execute(conn).unwrap();
    let invite = "INSERT INTO email_links (kind, user_id, hash, email, auth_epoch, created_at, expires_at) \
                  SELECT 2, u.id, u.id::text::bytea, u.email, u.auth_epoch, $1, $1 + interval '1 day' FROM users u ORDER BY u.id DESC \
                  LIMIT 1";
    diesel::sql_query(invite).bind::<diesel::sql_types::Timestamptz, _>(morning()).execute(conn).unwrap();
}

fn db_token_id(conn: &mut PgConnection, name: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let query = diesel::sql_query("SELECT id AS n FROM tokens WHERE name = $1").bind::<Text, _>(name);
    query.get_result::<Row>(conn).unwrap().n
}

fn db_session(conn: &mut PgConnection, name: &str) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        text: String,
    }
    let query = "INSERT INTO sessions (id, user_id, auth_epoch, created_at, last_seen_at, expires_at, address, user_agent) \
                 SELECT gen_random_uuid(), u.id, u.auth_epoch, now(), now(), now() + interval '100 years', '', '' \
                 FROM users u JOIN owners o ON o.id = u.id WHERE o.name = $1 RETURNING id::text AS text";
    diesel::sql_query(query).bind::<Text, _>(name).get_result::<Row>(conn).unwrap().text
}

fn visibility_of(org: &str) -> Visibility {
    ORGS.iter().find(|(known, _)| *known == org).unwrap().1
}

/// A request that does what the route is for, if its sender may do it. Creates the thing that it acts on.
async fn request(world: &World, row: &Row, person: Person, org: &str) -> (String, Option<Value>) {
    let admin = world.site.admin();
    let org = org.to_owned();
    let mut body = None;
    let fill = |pattern: &str, values: &[(&str, &str)]| {
        let owners =
            [("{owner}", &*org), ("{org}", &*org), ("{user}", "owner"), ("{name}", "tool"), ("{version}", "1")];
        let all = values.iter().chain(&owners).chain(&[("{file}", "f")]);
        all.fold(pattern.to_owned(), |path, (name, value)| path.replace(name, value))
    };
    let method = row.method.as_str();
    let path = match (method, row.path) {
        ("GET", pattern @ "/api/swagger/{asset}") => fill(pattern, &[("{asset}", "swagger-ui.css")]),
        // Users may always ask about themselves, so the request is about another user.
        ("GET", pattern) if pattern.contains("{team}") || pattern.contains("/members/{user}") => {
            let team = world.db_team(&org, "Members").to_string();
            fill(pattern, &[("{team}", &team), ("{user}", "member")])
        }
        (_, pattern) if pattern.contains("{provider}") => {
            body = (method == "POST").then(|| json!({"current_password": PASSWORD}));
            fill(pattern, &[("{provider}", "corp")])
        }
        (_, pattern) if pattern.contains("{identity}") => {
            let of = if person == Person::Robot { "open/robot" } else { person.name() };
            let id = world.db_insert(of, &world.fresh("subject"), IDENTITY);
            body = (method == "POST").then(|| json!({"current_password": PASSWORD}));
            fill(pattern, &[("{identity}", &id.to_string())])
        }
        (_, pattern) if pattern.contains("{passkey}") => {
            let of = if person == Person::Robot { "open/robot" } else { person.name() };
            let id = world.db_insert(of, &world.fresh("passkey"), PASSKEY);
            body = (method == "POST").then(|| json!({"current_password": PASSWORD, "name": "Renamed"}));
            fill(pattern, &[("{passkey}", &id.to_string())])
        }
        (_, pattern) if pattern.contains("/robots") => {
            let (robot, token) = (world.fresh("robot"), world.fresh("doomed"));
            if pattern.contains("{robot}") {
                world.db(|conn| db_robot(conn, &org, &robot));
            }
            let account = format!("{org}/{robot}");
            if pattern.contains("{token}") {
                world.db(|conn| db_token(conn, &account, &token, &["read:package"], |_| {}).unwrap());
            }
            // In pages, tokens and grants are named by their ids.
            let id = match pattern.starts_with("/org/") && pattern.contains("{token}") {
                true => world.db(|conn| db_token_id(conn, &token)).to_string(),
                false => token.clone(),
            };
            let grant = if pattern.contains("{grant}") { world.db_grant(&org, &account) } else { 0 };
            let give = "UPDATE grants SET user_id = (SELECT id FROM owners WHERE name = pattern) WHERE id = $1";
            world.db(|conn| diesel::sql_query(give).bind::<BigInt, _>(grant).execute(conn).unwrap());
            let made = json!({"name": world.fresh("made"), "scopes": ["read:package"]});
            body = match (method, pattern.rsplit('/').next()) {
                ("GET" | "DELETE", _) => None,
                (_, Some("robots")) => Some(json!({"name": robot})),
                (_, Some("tokens")) if pattern.starts_with("/api/") => Some(made),
                (_, Some("tokens")) => Some(json!({"name": token, "preset": "publish", "expiry": "30",
                    "current_password": PASSWORD})),
                (_, Some("grants")) => Some(json!({"pattern": world.fresh("tool"), "permission": "read"})),
                (_, Some("delete")) if !pattern.contains("{grant}") => Some(json!({"confirm": robot})),
                (_, Some("{robot}")) => Some(json!({"description": "another"})),
                _ => None,
            };
            fill(pattern, &[("{robot}", &robot), ("{token}", &id), ("{grant}", &grant.to_string())])
        }
        // The address of a manual page ends in a slash.
        ("GET", "/docs") => "/docs/".to_owned(),
        ("GET", pattern @ "/docs/{page:.*}") => fill(pattern, &[("{page:.*}", "getting-started/")]),
        (_, pattern)
            if pattern.ends_with("/delete")
                && pattern.starts_with("/{owner}/-/packages/")
                && !pattern.contains("/channels") =>
        {
            let name = world.fresh("package");
            admin.publish(&path(&[&org, &name, "1", "f"]), "bytes").await;
            let id = world.site.db_number("SELECT max(id) AS n FROM files").to_string();
            body = Some(json!({"confirm": name}));
            fill(pattern, &[("{name}", &name), ("{id}", &id)])
        }
        ("POST" | "PATCH", pattern)
            if pattern.contains("generic/{name}")
                && !["link", "/channels", "/copy", "/move", "/visibility"]
                    .iter()
                    .any(|part| pattern.contains(part)) =>
        {
            let name = world.fresh("package");
            let draft = if pattern.ends_with("/publish") { "?draft=true" } else { "" };
            admin.publish(&format!("{}{draft}", path(&[&org, &name, "1", "f"])), "bytes").await;
            body = match (method, pattern.rsplit('/').next()) {
                ("POST", Some("publish" | "seal")) => None,
                ("POST", Some("edit")) => Some(json!({"change": "yank", "reason": "broken"})),
                ("PATCH", Some("{version}")) => Some(json!({"yanked": true})),
                _ => Some(json!({"description": "another"})),
            };
            fill(pattern, &[("{name}", &name)])
        }
        (_, pattern) if pattern.contains("/-/trash/{entry}") => {
            let name = world.fresh("package");
            admin.publish(&path(&[&org, &name, "1", "f"]), "bytes").await;
            admin.delete(&path(&[&org, &name, "1"])).await.is(204);
            let entry = world.site.db_number("SELECT max(id) AS n FROM trash").to_string();
            fill(pattern, &[("{entry}", &entry)])
        }
        (_, pattern) if pattern.contains("/hooks") => {
            body = match method {
                "POST" if pattern.ends_with("/hooks/new") || pattern.ends_with("/settings/hooks/{hook}") => {
                    Some(json!({"url": "https://ci.example.org/hook", "content_type": "json", "active": "on"}))
                }
                "PATCH" => Some(json!({"active": true})),
                "POST" if pattern.ends_with("/hooks") => {
                    let config = json!({"url": "https://ci.example.org/hook", "content_type": "json"});
                    Some(json!({"type": "gitea", "config": config}))
                }
                _ => None,
            };
            let owner = if pattern.contains("{org}") { &*org } else { person.name() };
            let (hook, delivery) = world.db_hook(owner);
            fill(pattern, &[("{hook}", &hook.to_string()), ("{delivery}", &delivery.to_string())])
        }
        (_, pattern) if pattern.contains("/retention") => {
            let name = world.fresh("rule");
            body = match method {
                "GET" | "DELETE" => None,
                _ if pattern.ends_with("/preview") => Some(json!({})),
                _ if pattern.starts_with("/api/") => Some(json!({"name": name, "keep_last": 1})),
                _ => Some(json!({"name": name, "keep_last": "1"})),
            };
            let owner = if pattern.contains("/user/") { person.name() } else { &*org };
            fill(pattern, &[("{rule}", &world.db_rule(owner).to_string())])
        }
        ("GET" | "POST", pattern @ "/user/settings/tokens/{token}/revoke") => {
            let name = world.fresh("doomed");
            world.db(|conn| db_token(conn, person.name(), &name, &["read:package"], |_| {}).unwrap());
            let id = world.db(|conn| db_token_id(conn, &name));
            fill(pattern, &[("{token}", &id.to_string())])
        }
        (_, pattern) if pattern.ends_with("/channels/{channel}") => {
            let name = world.fresh("channel");
            if method != "PUT" {
                let set = admin.request("PUT", &fill(pattern, &[("{channel}", &name)]));
                set.header("content-type", "application/json").body(r#"{"version":"1"}"#).await.is(201);
            }
            body = (method == "PUT").then(|| json!({"version": "1"}));
            fill(pattern, &[("{channel}", &name)])
        }
        ("POST", pattern) if pattern.contains("/channels") => {
            let name = world.fresh("channel");
            if pattern.ends_with("/delete") {
                let set = format!("/api/v1/packages/{org}/generic/tool/-/channels/{name}");
                let set = admin.request("PUT", &set).header("content-type", "application/json");
                set.body(r#"{"version":"1"}"#).await.is(201);
            }
            body = Some(json!({"channel": name, "version": "1"}));
            fill(pattern, &[])
        }
        ("POST", pattern) if pattern.ends_with("/{version}/copy") || pattern.ends_with("/{version}/move") => {
            let (name, version) = (world.fresh("package"), world.fresh("copied"));
            admin.publish(&path(&[&org, &name, "1", "f"]), "bytes").await;
            if pattern.starts_with("/api") {
                body = Some(json!({"name": name, "version": "1"}));
                fill(pattern, &[("{version}", &version)])
            } else {
                body = Some(json!({"to_version": version}));
                fill(pattern, &[("{name}", &name)])
            }
        }
        ("GET", pattern) if pattern.contains("/files/{id}") => {
            fill(pattern, &[("{id}", &world.db_file(&org, "tool").to_string())])
        }
        (_, pattern) if pattern.contains("/-/publishers") => {
            let name = world.fresh("publisher");
            if pattern.contains("{publisher}") {
                world.db_publisher(&org, &name);
            }
            let condition = json!([{"claim": "project_path", "equals": "acme/tool"}]);
            body = match (method, pattern.starts_with("/api/")) {
                ("POST", true) => {
                    Some(json!({"name": name, "packages": "a", "provider": "gitlab", "conditions": condition}))
                }
                ("PATCH", true) => Some(json!({"packages": "b"})),
                ("POST", false) if pattern.ends_with("/edit") => Some(json!({
                    "name": name, "packages": "b", "issuer": "https://ci.example.org", "subject": "job",
                })),
                ("POST", false) if !pattern.contains("{publisher}") => Some(json!({
                    "name": name, "packages": "a", "repository": "acme/tool",
                    "issuer": "https://token.actions.githubusercontent.com",
                })),
                _ => None,
            };
            let id = world.site.db_number("SELECT coalesce(max(id), 0) AS n FROM publishers").to_string();
            fill(pattern, &[("{publisher}", &id)])
        }
        ("GET", pattern) if pattern.ends_with("/{grant}") => {
            fill(pattern, &[("{grant}", &world.db_grant(&org, &world.fresh("other")).to_string())])
        }
        ("GET", pattern) if pattern.ends_with("/{protection}") => {
            fill(pattern, &[("{protection}", &world.db_protection(&org, &world.fresh("other")).to_string())])
        }
        ("GET", pattern) if pattern.starts_with("/-/admin/") => fill(pattern, &[]),
        ("GET", pattern @ "/api/v1/admin/users/{user}/invitation") => {
            let name = world.fresh("user");
            world.db(|conn| db_user(conn, &name, Visibility::Public, false).unwrap());
            world.db(db_invite);
            fill(pattern, &[("{user}", &name)])
        }
        ("POST", "/-/admin/users/new") => {
            let name = world.fresh("user");
            body = Some(json!({
                "username": name, "email": format!("{name}@example.org"), "visibility": "public",
                "current_password": PASSWORD,
            }));
            row.path.to_owned()
        }
        ("POST", pattern) if pattern.starts_with("/-/admin/users/{user}/") => {
            let name = world.fresh("user");
            world.db(|conn| db_user(conn, &name, Visibility::Public, false).unwrap());
            if pattern.ends_with("/approve") {
                let waits = "UPDATE users SET is_active = false WHERE id = (SELECT max(id) FROM users)";
                world.db(|conn| diesel::sql_query(waits).execute(conn).unwrap());
            }
            if pattern.contains("/invitation") {
                world.db(db_invite);
            }
            if pattern.ends_with("/second-factor") {
                let enroll = "INSERT INTO second_factors (user_id, sealed_seed, last_step, confirmed_at) \
                              SELECT max(id), '', 0, now() FROM users";
                world.db(|conn| diesel::sql_query(enroll).execute(conn).unwrap());
            }
            body = Some(json!({
                "email": format!("{name}@example.org"), "visibility": "public", "new_username": world.fresh("renamed"),
                "versions": 7, "current_password": PASSWORD,
            }));
            fill(pattern, &[("{user}", &name)])
        }
        ("POST", pattern @ "/-/admin/mail/dismiss") => pattern.to_owned(),
        ("POST", pattern @ "/-/admin/system/tasks/{task}") => fill(pattern, &[("{task}", "sweep")]),
        ("POST", pattern @ "/-/admin/orgs/{org}/quota") => {
            world.count.set(world.count.get() + 1);
            body = Some(json!({"versions": 1_000_000 + world.count.get()}));
            fill(pattern, &[])
        }
        ("GET", pattern) => fill(pattern, &[]),
        ("POST", pattern @ "/{owner}/-/upload") => {
            body = Some(json!({"package": "tool", "version": "1", "file": world.fresh("file")}));
            fill(pattern, &[])
        }
        ("PUT", pattern) if pattern.ends_with("/{file}") => fill(pattern, &[("{file}", &world.fresh("file"))]),
        ("DELETE", pattern) if pattern.contains("/generic/{name}") => {
            let name = world.fresh("package");
            admin.publish(&path(&[&org, &name, "1", "f"]), "bytes").await;
            fill(pattern, &[("{name}", &name)])
        }
        ("POST", pattern) if pattern.ends_with("/-/access/grants") => {
            let names = format!("{}-*", world.fresh("tool"));
            body = Some(json!({"to": "guest", "pattern": names, "permission": "read"}));
            fill(pattern, &[])
        }
        ("POST", pattern) if pattern.ends_with("/-/access/protections") => {
            // Nobody is refused by it, and there is room for another.
            world.db_protection(&org, &world.fresh("other"));
            body = Some(json!({
                "name": world.fresh("rule"), "packages": "secret-*", "versions": "*", "publish": "write",
                "replace": "write", "delete": "write",
            }));
            fill(pattern, &[])
        }
        ("POST", pattern) if pattern.contains("/-/access/") => {
            let grant = world.db_grant(&org, &world.fresh("other")).to_string();
            let protection = world.db_protection(&org, &world.fresh("other")).to_string();
            fill(pattern, &[("{grant}", &grant), ("{protection}", &protection)])
        }
        (_, pattern) if pattern.contains("/-/grants") => {
            // Another pattern each time, for the same user.
            let pattern_of_names = format!("{}-*", world.fresh("tool"));
            body = (method != "DELETE").then(|| json!({"pattern": pattern_of_names, "permission": "read"}));
            if method == "POST" {
                body.as_mut().unwrap()["user"] = json!("guest");
            }
            fill(pattern, &[("{grant}", &world.db_grant(&org, &world.fresh("other")).to_string())])
        }
        (_, pattern) if pattern.contains("/-/protections") => {
            body = (method != "DELETE").then(|| json!({"name": world.fresh("rule"), "packages": "secret-*"}));
            fill(pattern, &[("{protection}", &world.db_protection(&org, &world.fresh("other")).to_string())])
        }
        ("POST", pattern) if pattern.ends_with("/settings/generic/{name}/visibility") => {
            let name = world.fresh("package");
            admin.publish(&path(&[&org, &name, "1", "f"]), "bytes").await;
            body = Some(json!({"visibility": "private"}));
            fill(pattern, &[("{name}", &name)])
        }
        ("POST", pattern @ "/api/v1/users/{user}/tokens") => {
            body = Some(json!({"name": world.fresh("made"), "scopes": ["read:package"]}));
            fill(pattern, &[])
        }
        ("DELETE", pattern @ "/api/v1/users/{user}/tokens/{token}") => {
            let name = world.fresh("doomed");
            world.db(|conn| db_token(conn, "owner", &name, &["read:package"], |_| {}).unwrap());
            fill(pattern, &[("{token}", &name)])
        }
        ("POST", pattern @ "/api/v1/admin/users") => {
            let name = world.fresh("user");
            body = Some(json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD}));
            pattern.to_owned()
        }
        ("POST", pattern @ "/api/v1/admin/invitations") => {
            let name = world.fresh("user");
            body = Some(json!({"username": name, "email": format!("{name}@example.org")}));
            pattern.to_owned()
        }
        (_, pattern) if pattern.starts_with("/api/v1/admin/users/{user}") => {
            let name = world.fresh("user");
            world.db(|conn| db_user(conn, &name, Visibility::Public, false).unwrap());
            if pattern.ends_with("/invitation") {
                world.db(db_invite);
            }
            body = match pattern.rsplit('/').next() {
                Some("rename") => Some(json!({"new_username": world.fresh("renamed")})),
                Some("orgs") => Some(json!({"username": world.fresh("org")})),
                _ if method == "PATCH" => Some(json!({"full_name": "Somebody Else"})),
                _ => None,
            };
            fill(pattern, &[("{user}", &name)])
        }
        ("DELETE", pattern @ "/api/v1/token") => pattern.to_owned(),
        ("PATCH", pattern @ "/api/v1/orgs/{org}") => {
            body = Some(json!({"description": "another"}));
            fill(pattern, &[])
        }
        // It has the same visibility and members as the other one.
        ("DELETE", "/api/v1/orgs/{org}") | (_, "/api/v1/orgs/{org}/rename") => {
            let name = world.fresh("org");
            world.db(|conn| db_org(conn, &name, visibility_of(&org)));
            body = (method == "POST").then(|| json!({"new_name": world.fresh("renamed")}));
            fill(row.path, &[("{org}", &name)])
        }
        ("DELETE", pattern @ "/api/v1/orgs/{org}/members/{user}") => {
            let team = world.db_team(&org, "Guests");
            admin.put(&format!("/api/v1/teams/{team}/members/guest"), "").await.is(204);
            fill(pattern, &[("{user}", "guest")])
        }
        ("PATCH" | "DELETE", pattern @ "/api/v1/teams/{team}") => {
            let made = admin.post(&format!("/api/v1/orgs/{org}/teams"), &json!({"name": world.fresh("team")})).await;
            body = (method == "PATCH").then(|| json!({"description": "another"}));
            fill(pattern, &[("{team}", &made.is(201).json()["id"].to_string())])
        }
        ("POST", pattern @ "/api/v1/orgs") => {
            body = Some(json!({"username": world.fresh("org")}));
            pattern.to_owned()
        }
        ("POST", pattern @ "/api/v1/orgs/{org}/teams") => {
            body = Some(json!({"name": world.fresh("team"), "permission": "read"}));
            fill(pattern, &[])
        }
        (_, pattern @ "/api/v1/teams/{team}/members/{user}") => {
            let made = admin.post(&format!("/api/v1/orgs/{org}/teams"), &json!({"name": world.fresh("team")})).await;
            let team = made.is(201).json()["id"].to_string();
            if method == "DELETE" {
                admin.put(&format!("/api/v1/teams/{team}/members/guest"), "").await.is(204);
            }
            fill(pattern, &[("{team}", &team), ("{user}", "guest")])
        }
        ("POST", pattern @ "/org/create") => {
            body = Some(json!({"name": world.fresh("org"), "visibility": "public"}));
            pattern.to_owned()
        }
        ("POST", pattern @ "/org/{org}/settings") => {
            body = Some(json!({"description": "another", "visibility": visibility_of(&org).as_str()}));
            fill(pattern, &[])
        }
        ("POST", pattern @ ("/org/{org}/settings/rename" | "/org/{org}/settings/delete")) => {
            let name = world.fresh("org");
            world.db(|conn| db_org(conn, &name, visibility_of(&org)));
            let typed = if pattern.ends_with("rename") { world.fresh("renamed") } else { name.clone() };
            body = Some(json!({"name": typed, "current_password": PASSWORD}));
            fill(pattern, &[("{org}", &name)])
        }
        ("POST", pattern @ "/org/{org}/teams") => {
            body = Some(json!({"name": world.fresh("team"), "permission": "read"}));
            fill(pattern, &[])
        }
        ("POST", pattern) if pattern.starts_with("/org/{org}/teams/{team}") => {
            let name = world.fresh("team");
            let made = admin.post(&format!("/api/v1/orgs/{org}/teams"), &json!({"name": name})).await;
            let team = made.is(201).json()["id"].to_string();
            if pattern.ends_with("/remove") {
                admin.put(&format!("/api/v1/teams/{team}/members/guest"), "").await.is(204);
            }
            body = match pattern.rsplit('/').next() {
                Some("{team}") => Some(json!({"name": name, "description": "another", "permission": "read"})),
                Some("members") => Some(json!({"user": "guest"})),
                _ => None,
            };
            fill(pattern, &[("{team}", &name), ("{user}", "guest")])
        }
        ("POST", pattern @ "/org/{org}/members/{user}/remove") => {
            let team = world.db_team(&org, "Guests");
            admin.put(&format!("/api/v1/teams/{team}/members/guest"), "").await.is(204);
            fill(pattern, &[("{user}", "guest")])
        }
        ("PATCH", pattern) if pattern.ends_with("/quota") => {
            // Another number each time, because the same number would change nothing.
            world.count.set(world.count.get() + 1);
            body = Some(json!({"versions": 1_000_000 + world.count.get()}));
            fill(pattern, &[])
        }
        ("POST", pattern) if OWN_CHANGES.contains(&pattern) => pattern.to_owned(),
        ("POST", pattern @ "/user/settings") => {
            body = Some(
                json!({"full_name": "", "description": "", "website": "", "location": "", "visibility": "public"}),
            );
            pattern.to_owned()
        }
        ("POST", pattern @ "/user/settings/tokens/new") => {
            let name = world.fresh("made");
            body = Some(json!({"name": name, "preset": "publish", "expiry": "30", "current_password": PASSWORD}));
            pattern.to_owned()
        }
        ("POST", pattern @ "/user/settings/notifications") => pattern.to_owned(),
        ("POST", pattern @ "/user/settings/email") => {
            // Everybody may ask three times in five minutes.
            world.db(|conn| diesel::sql_query("DELETE FROM attempts").execute(conn).unwrap());
            body = Some(json!({"email": format!("{}@example.org", world.fresh("mail")), "current_password": PASSWORD}));
            pattern.to_owned()
        }
        ("POST", pattern @ "/user/settings/security/sessions/end") => {
            body = Some(json!({"session": world.db(|conn| db_session(conn, person.name()))}));
            pattern.to_owned()
        }
        ("POST", pattern @ "/user/settings/security/sessions/end-all") => pattern.to_owned(),
        other => panic!("add a request for {other:?} here"),
    };
    (path, body)
}

/// Sends one request and compares the answer with the expected one.
async fn attempt(
    world: &World,
    row: &Row,
    person: Person,
    sent: Sent,
    (org, visibility): (&str, Visibility),
) -> Result<(), String> {
    let (path, body) = request(world, row, person, org).await;
    let pages = row.policy.credentials == AcceptedCredentials::Session;
    let (cookies, csrf) = match (sent, pages) {
        (Sent::Cookie, _) | (_, true) => world.browser(person).await,
        _ => Default::default(),
    };
    let client = world.client(row, person, sent);
    if person == Person::Locked {
        world.db(|conn| diesel::sql_query("DELETE FROM attempts").execute(conn).unwrap());
    }
    let (before, _) = world.records();
    let method = if sent == Sent::HeadWithBearer { "HEAD" } else { row.method.as_str() };
    let mut asked = client.request(method, &path);
    if sent == Sent::Cookie {
        let forged = "packhouse=eyJhbGciOiJIUzI1NiJ9.e30.AAAA";
        asked = asked.header("cookie", if person == Person::Anonymous { forged } else { &cookies });
    }
    asked = match body {
        _ if pages && row.method != "GET" => {
            let fields = body.unwrap_or_else(|| json!({}));
            let mut form = format!("csrf={csrf}");
            for (name, value) in fields.as_object().unwrap() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                form.push_str(&format!("&{name}={}", utf8_percent_encode(&text, NON_ALPHANUMERIC)));
            }
            // Without a session cookie or with a visitor's cookies, the form token is valid but permission is missing.
            if sent != Sent::Cookie || person == Person::Anonymous {
                let (cookies, csrf) = world.visit().await;
                form = form.replacen(form.split('&').next().unwrap(), &format!("csrf={csrf}"), 1);
                asked = asked.header("cookie", cookies);
            }
            match row.path {
                "/{owner}/-/upload" => asked
                    .header("content-type", "multipart/form-data; boundary=edge")
                    .body(crate::web_upload::multipart(&form)),
                // Sent by a script: the form token is in a header.
                _ if row.method == "PUT" => {
                    let token = form.split('&').next().unwrap().trim_start_matches("csrf=").to_owned();
                    asked.header("x-csrf-token", token).body(form)
                }
                _ => asked.header("content-type", "application/x-www-form-urlencoded").body(form),
            }
        }
        Some(body) => asked.header("content-type", "application/json").body(body.to_string()),
        None if method == "PUT" => asked.header("content-length", "5").body("bytes"),
        None => asked,
    };
    let answer = asked.await;
    if row.path.ends_with("/end-all") && person != Person::Locked {
        *world.session.borrow_mut() = None;
    }
    let said = String::from_utf8_lossy(&answer.body);
    let what = format!("{method} {path} by {person:?} with {sent:?}");
    let outcome = match answer.status {
        303 if pages && answer.header("location").is_some_and(|to| to.starts_with("/login")) => {
            Outcome::Unauthenticated
        }
        303 if pages || row.path.ends_with("/{version}/download") => Outcome::Done,
        200..300 | 308 => Outcome::Done,
        401 => Outcome::Unauthenticated,
        403 => Outcome::Forbidden,
        404 => Outcome::Absent,
        other => return Err(format!("{what}: {other} {said}")),
    };
    let wanted = match expected(row, person, sent, visibility) {
        // The pages of administrators do not exist for others.
        Outcome::Forbidden if pages && row.method == "GET" && row.policy.right == Right::SiteAdmin => Outcome::Absent,
        wanted => wanted,
    };
    if outcome != wanted {
        return Err(format!("{what}: {outcome:?} instead of {wanted:?}: {said}"));
    }
    let (after, last) = world.records();
    let event = row.policy.event.filter(|_| outcome == Outcome::Done);
    let record = event.map_or(String::new(), |event| format!("{} by {}", event.as_str(), person.name()));
    // A move is a deletion where the files were, too.
    let records = i64::from(event.is_some()) + i64::from(event == Some(Event::VersionMove));
    if after != before + records || event.is_some() && last != record {
        return Err(format!("{what}: {} records, the last {last:?}", after - before));
    }
    Ok(())
}

/// Routes with which users end their own access. `web_account` and `web_security` test that they work. Here only
/// callers who may not use them try.
const OWN_CHANGES: [&str; 11] = [
    "/user/settings/rename",
    "/user/settings/delete",
    "/user/settings/password",
    "/user/settings/security/enroll",
    "/user/settings/security/recovery-codes",
    "/user/settings/security/disable",
    // These need the answer of a passkey; `passkeys` tests that they work.
    "/login/passkey/confirm",
    "/user/settings/security/enroll-passkeys",
    "/user/settings/security/passkeys/new",
    "/user/settings/security/passkeys/options",
    "/user/settings/security/passkeys/{passkey}/remove",
];

/// Inserts an identity of a user at a provider.
const IDENTITY: &str = "INSERT INTO identities (user_id, provider, issuer, subject, email, created_at) SELECT id, 'corp', \
                        'http://127.0.0.1:1', $2, '', now() FROM owners WHERE name = $1 RETURNING id AS n";

/// Inserts a passkey of a user whose credential has a name of its own, and that nobody can use.
const PASSKEY: &str = "INSERT INTO passkeys (user_id, credential_id, user_handle, public_key, state, transports, name, \
                       created_at) SELECT id, sha256($2::bytea), sha256(''), '', '\\x01000000000000', 0, $2, now() \
                       FROM owners WHERE name = $1 RETURNING id AS n";

/// Requests every route of the table in one role.
async fn walk(person: Person) {
    let world = World::new(person).await;
    let mut wrong = Vec::new();
    for (at, row) in table().into_iter().enumerate() {
        // The first has its own token, `web_sessions` tests the second, and the third only refuses.
        let refuses = row.path.contains("/-/link/") || row.path.ends_with("/-/unlink");
        if row.policy.credentials == AcceptedCredentials::Own || row.policy.right == Right::Public || refuses {
            continue;
        }
        let pages = row.policy.credentials == AcceptedCredentials::Session;
        let owned = ["{owner}", "{org}", "{team}"].iter().any(|name| row.path.contains(name));
        let orgs = if owned { &ORGS[..] } else { &ORGS[..1] };
        for sent in SENT {
            let wanted = match sent {
                Sent::Nothing => person == Person::Anonymous,
                // A robot can't sign in.
                Sent::Cookie | Sent::Password if person == Person::Robot => false,
                Sent::Password if [Person::PasskeyOnly, Person::ProviderOnly].contains(&person) => false,
                Sent::Cookie => true,
                Sent::HeadWithBearer if row.method != "GET" => false,
                // Pages accept only cookies. Two other kinds are enough to show it.
                _ if pages => person != Person::Anonymous && matches!(sent, Sent::Bearer(Token::All) | Sent::Password),
                _ => person != Person::Anonymous,
            };
            let undoes = row.method != "GET" && OWN_CHANGES.contains(&row.path);
            if !wanted || undoes && expected(&row, person, sent, ORGS[0].1) == Outcome::Done {
                continue;
            }
            // How a token is sent, and why it is no good, makes the same difference everywhere: one way of each for a route
            // and a person, in turn.
            let turn = at + person as usize;
            let in_turn = |ways: &[Sent]| ways.iter().position(|way| *way == sent).map(|way| way == turn % ways.len());
            let orgs = match in_turn(&SENDINGS).or_else(|| in_turn(&BAD)) {
                Some(true) => &orgs[turn % orgs.len()..][..1],
                Some(false) => &[],
                None => orgs,
            };
            for org in orgs {
                wrong.extend(attempt(&world, &row, person, sent, *org).await.err());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn anonymous_can_do_exactly_what_the_route_table_says() {
    walk(Person::Anonymous).await;
}

#[tokio::test]
async fn a_stranger_can_do_exactly_what_the_route_table_says() {
    walk(Person::Stranger).await;
}

#[tokio::test]
async fn a_reader_can_do_exactly_what_the_route_table_says() {
    walk(Person::Reader).await;
}

#[tokio::test]
async fn a_writer_can_do_exactly_what_the_route_table_says() {
    walk(Person::Writer).await;
}

#[tokio::test]
async fn an_owner_can_do_exactly_what_the_route_table_says() {
    walk(Person::Owner).await;
}

#[tokio::test]
async fn a_removed_member_can_do_exactly_what_the_route_table_says() {
    walk(Person::Removed).await;
}

#[tokio::test]
async fn a_locked_user_can_do_exactly_what_the_route_table_says() {
    walk(Person::Locked).await;
}

#[tokio::test]
async fn a_robot_can_do_exactly_what_the_route_table_says() {
    walk(Person::Robot).await;
}

#[tokio::test]
async fn a_user_with_only_a_passkey_can_do_exactly_what_the_route_table_says() {
    walk(Person::PasskeyOnly).await;
}

#[tokio::test]
async fn a_user_of_a_provider_can_do_exactly_what_the_route_table_says() {
    walk(Person::ProviderOnly).await;
}

#[tokio::test]
async fn an_administrator_can_do_exactly_what_the_route_table_says() {
    walk(Person::Administrator).await;
}

#[test]
fn every_changing_route_names_its_audit_event_and_no_reading_route() {
    for row in table() {
        // The theme is only a cookie, so it adds no audit entry, and there is nothing to link a package to.
        let refuses = row.path.contains("/-/link/") || row.path.ends_with("/-/unlink");
        // A preview takes rules and changes nothing.
        let previews = row.path.ends_with("/-/retention/preview");
        // The way back from the provider links the account and records it.
        let leads_away = row.path.ends_with("/identities/{provider}/link");
        // Asking for a passkey, and confirming with one, changes nothing that others see.
        let asks = row.path.ends_with("/passkeys/options") || row.path.starts_with("/login/passkey/");
        let changes = row.method != "GET" && row.path != "/-/theme" && !refuses && !previews && !leads_away && !asks;
        assert_eq!(row.policy.event.is_some(), changes, "{} {}", row.method, row.path);
    }
}
