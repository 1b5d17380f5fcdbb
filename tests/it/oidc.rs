//! Signing in with an OpenID Connect provider, as far as everything is as it should be; `oidc_hostile` has the rest.

use crate::support::people::db_org;
use crate::support::receiver::Reply;
use crate::support::sign_in_provider::{CLIENT, SECRET, SignInProvider};
use crate::support::{PASSWORD, Proxy, Site, eventually, log, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};
use std::time::Duration;

const SECURITY: &str = "/user/settings/security";

/// What the provider says about a person.
fn person(subject: &str, email: &str) -> Value {
    let (name, _) = email.split_once('@').unwrap();
    json!({"sub": subject, "email": email, "email_verified": true, "preferred_username": name, "name": "A Person"})
}

fn with(mut claims: Value, more: Value) -> Value {
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

fn details(site: &Site, event: &str) -> Vec<String> {
    site.db_texts(&format!("SELECT detail::text AS text FROM audit WHERE event = '{event}' ORDER BY id"))
}

fn links(site: &Site) -> Vec<String> {
    site.db_texts(
        "SELECT o.name || ' ' || i.subject || ' ' || i.email AS text FROM identities i JOIN owners o ON o.id = i.user_id \
         ORDER BY i.id",
    )
}

#[tokio::test]
async fn somebody_new_gets_an_account_and_signs_in_again_with_it() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browser = site.browser();
    browser.go("/login?redirect_to=%2Fexplore").await.is(200);
    assert_eq!(browser.all("#providers a"), ["Sign in with Corp"]);
    let begin = browser.attrs("#providers a", "href").remove(0);
    assert_eq!(begin, "/login/oidc/corp?redirect_to=%2Fexplore");
    browser.go(&begin).await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    // What the browser keeps is encrypted.
    let (_, kept) = browser.cookie("packhouse-oidc");
    assert!(!away.contains(&kept) && !kept.contains("corp"), "{kept}");
    let back = provider.approve(&site, &away, &person("s1", "grace.hopper@example.org"));
    browser.go(&back).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/explore"));
    browser.go(SECURITY).await.is(200);
    assert!(browser.one("details.menu summary").contains("grace.hopper"));
    assert_eq!(browser.all("#identities td")[0], "grace.hopper@example.org");
    assert_eq!(links(&site), ["grace.hopper s1 grace.hopper@example.org"]);
    let user = "SELECT concat_ws(' ', full_name, email, lower_email, password_hash, is_admin) AS text FROM users u JOIN \
                owners o ON o.id = u.id WHERE o.name = 'grace.hopper'";
    assert_eq!(site.db_texts(user), ["A Person grace.hopper@example.org f"], "the address confirms nothing here");

    // The same answer twice: the cookie is gone, and the code is used.
    browser.go(&back).await.is(400);
    assert!(browser.one("#refusal").contains("completed already"));
    // Another time, with another address and name: the same person, whose account keeps its own.
    let mut again = site.browser();
    provider.sign_in(&site, &mut again, &person("s1", "rear.admiral@example.org")).await.is(303);
    assert_eq!(again.answer.header("location"), Some("/"));
    assert_eq!(links(&site), ["grace.hopper s1 rear.admiral@example.org"]);
    // Somebody else with the same name gets another account, and so does somebody whose name is reserved.
    provider.sign_in(&site, &mut site.browser(), &person("s2", "grace.hopper@other.example")).await.is(303);
    provider.sign_in(&site, &mut site.browser(), &person("s3", "admin@other.example")).await.is(303);
    assert_eq!(links(&site)[1..], ["grace.hopper-2 s2 grace.hopper@other.example", "admin-2 s3 admin@other.example"]);
    insta::assert_snapshot!(site.db_audit()[..4].join("\n"), @r"
    user.create by  with system from 127.0.0.1 on grace.hopper grace.hopper
    user.identity.link by  with system from 127.0.0.1 on grace.hopper grace.hopper
    session.begin by grace.hopper with session from 127.0.0.1 on grace.hopper grace.hopper
    session.begin by grace.hopper with session from 127.0.0.1 on grace.hopper grace.hopper
    ");
    assert_eq!(details(&site, "session.begin")[0], r#"{"provider": "corp"}"#);
    assert_eq!(details(&site, "user.identity.link")[0], r#"{"subject": "s1", "provider": "corp"}"#);

    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin/users/grace.hopper").await.is(200);
    assert!(admin.one("#linked").starts_with("Corp: rear.admiral@example.org used"), "{}", admin.one("#linked"));

    // Programs are told what to do; a page tells nothing.
    let refused = site.anon().basic("grace.hopper", "any password at all").get("/api/v1/user").await;
    refused.is(401).says("this account has no password: use an access token");
    let mut form = site.browser();
    form.go("/login").await.submit("form[action='/login']", &[("name", "grace.hopper"), ("password", PASSWORD)]).await;
    assert!(form.is(401).one("#problems").starts_with("Incorrect username or password"));
    let said = log::captured();
    assert!(!said.contains(SECRET) && !said.contains("access-code-") && !said.contains("code_verifier"));
}

#[tokio::test]
async fn nobody_new_gets_in_without_a_rule_that_lets_them_in() {
    let provider = SignInProvider::new();
    let site = provider.site(&[]);
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &person("s1", "ada@example.org")).await.is(403);
    assert!(browser.one("#refusal").contains("No account here is linked"), "an address is no identity");
    assert_eq!(browser.all("h1"), ["Sign-in with Corp failed"]);
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true"), ("ALLOWED_DOMAINS", "example.org, example.net")]);
    for (claims, why) in [
        (person("s1", "eve@example.com"), "only for some email addresses"),
        (with(person("s1", "eve@example.org"), json!({"email_verified": false})), "only for some email addresses"),
        (with(person("s1", "eve@example.org"), json!({"email_verified": null})), "only for some email addresses"),
        (with(person("s1", "eve@example.org"), json!({"email": null})), "didn't send your email address"),
        (with(person("s1", "eve@example.org"), json!({"sub": ""})), "doesn't say who you are"),
    ] {
        let mut browser = site.browser();
        provider.sign_in(&site, &mut browser, &claims).await.is(403);
        assert!(browser.one("#refusal").contains(why), "{claims}: {}", browser.one("#refusal"));
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM identities"), 0);
    assert!(site.db_audit().is_empty());
    provider.sign_in(&site, &mut site.browser(), &person("s1", "eve@Example.NET")).await.is(303);
}

#[tokio::test]
async fn a_verified_address_links_only_an_account_whose_address_was_confirmed_here() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("LINK_BY_VERIFIED_EMAIL", "true")]);
    // Addresses that users enter themselves prove nothing.
    site.db_execute("UPDATE users SET lower_email = NULL WHERE lower_email = 'stranger@example.org'");
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email = 'admin@example.org'");
    for claims in [
        with(person("s1", "ada@example.org"), json!({"email_verified": false})),
        person("s1", "stranger@example.org"),
        person("s1", "admin@example.org"),
    ] {
        provider.sign_in(&site, &mut site.browser(), &claims).await.is(403);
    }
    assert_eq!(links(&site), [""; 0]);
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &person("s1", "Ada@Example.org")).await.is(303);
    browser.go(SECURITY).await.is(200);
    assert_eq!(links(&site), ["ada s1 Ada@Example.org"]);
    // From now on it is the subject that counts, whoever has the address.
    provider.sign_in(&site, &mut site.browser(), &person("s2", "ada@example.org")).await.is(303);
    site.db_execute("UPDATE users SET lower_email = 'new@example.org' WHERE lower_email = 'ada@example.org'");
    provider.sign_in(&site, &mut site.browser(), &person("s3", "ada@example.org")).await.is(403);
    provider.sign_in(&site, &mut site.browser(), &person("s1", "other@example.org")).await.is(303);
}

#[tokio::test]
async fn users_link_and_unlink_accounts_but_never_their_last_way_in() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browser = site.browser_of("ada").await;
    browser.go(SECURITY).await.is(200);
    let link = browser.attrs("main a[href$='/link']", "href").remove(0);
    let form = format!("form[action='{link}']");
    browser.go(&link).await.is(200).submit(&form, &[("current_password", "wrong")]).await.is(422);
    browser.submit(&form, &[("current_password", PASSWORD)]).await.is(200);
    // The policy of pages forbids a form to lead to another site, so the page leads there.
    let away = browser.attrs("#continue", "href").remove(0);
    assert_eq!(browser.attrs("meta[http-equiv=refresh]", "content"), [format!("0; url={away}")]);
    let back = provider.approve(&site, &away, &person("s1", "whoever@example.net"));
    // Another session than the one that asked gets nothing, even of the same user.
    let mut thief = site.browser_of("ada").await;
    let (name, value) = browser.cookie("packhouse-oidc");
    thief.set_cookie(&name, &value);
    thief.go(&back).await.is(403);
    assert_eq!(links(&site), [""; 0]);

    browser.go(&link).await.submit(&form, &[("current_password", PASSWORD)]).await.is(200);
    let away = browser.attrs("#continue", "href").remove(0);
    browser.go(&provider.approve(&site, &away, &person("s1", "whoever@example.net"))).await.is(303).follow().await;
    assert_eq!(browser.one("[role=status].notice"), "Linked. From now on, you can sign in with Corp.");
    assert_eq!(links(&site), ["ada s1 whoever@example.net"]);
    // Nobody else can link it.
    let mut stranger = site.browser_of("stranger").await;
    stranger.go(&link).await.submit(&form, &[("current_password", PASSWORD)]).await.is(200);
    let away = stranger.attrs("#continue", "href").remove(0);
    stranger.go(&provider.approve(&site, &away, &person("s1", "whoever@example.net"))).await.is(403);
    assert!(stranger.one("#refusal").contains("linked to another user"));

    let mut other = site.browser();
    provider.sign_in(&site, &mut other, &person("s1", "whoever@example.net")).await.is(303);
    other.go(SECURITY).await.is(200);
    browser.go(SECURITY).await;
    let unlink = browser.attrs("#identities a", "href").remove(0);
    stranger.go(&unlink).await.is(404);
    let form = format!("form[action='{unlink}']");
    browser.go(&unlink).await.is(200).submit(&form, &[("current_password", PASSWORD)]).await.is(303);
    other.go(SECURITY).await.is(303);
    browser.go(SECURITY).await.is(200);
    assert_eq!(links(&site), [""; 0]);
    let events = site.db_audit().into_iter().filter(|line| line.contains("identity")).collect::<Vec<_>>();
    assert_eq!(
        events,
        [
            "user.identity.link by ada with session from 127.0.0.1 on ada ada",
            "user.identity.unlink by ada with session from 127.0.0.1 on ada ada"
        ]
    );
    // The same account of the provider is somebody new again.
    let mut new = site.browser();
    provider.sign_in(&site, &mut new, &person("s1", "whoever@example.net")).await.is(303);
    assert_eq!(links(&site), ["whoever s1 whoever@example.net"]);
    // It is their only way in.
    confirm_again(&provider, &site, &mut new, "s1").await.is(303);
    new.go(SECURITY).await;
    let unlink = new.attrs("#identities a", "href").remove(0);
    new.go(&unlink).await.submit(&format!("form[action='{unlink}']"), &[]).await.is(422);
    assert!(new.text().contains("your only way to sign in"), "{}", new.text());
}

/// Signs in again to confirm who it is.
async fn confirm_again<'a>(
    provider: &SignInProvider,
    site: &Site,
    browser: &'a mut crate::support::browser::Browser,
    subject: &str,
) -> &'a mut crate::support::browser::Browser {
    browser.go("/login/oidc/corp/confirm?redirect_to=%2Fuser%2Fsettings%2Ftokens%2Fnew").await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    assert!(away.contains("prompt=login") && away.contains("max_age=0"), "{away}");
    let back = provider.approve(site, &away, &json!({"sub": subject}));
    browser.go(&back).await
}

#[tokio::test]
async fn without_a_password_changes_ask_for_a_fresh_sign_in() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &person("s1", "grace@example.org")).await.is(303);
    provider.sign_in(&site, &mut site.browser(), &person("s2", "eve@example.org")).await.is(303);
    let (new, form) = ("/user/settings/tokens/new", "form[action='/user/settings/tokens/new']");
    browser.go(new).await.is(200);
    assert_eq!(browser.attrs(&format!("{form} input[type=password]"), "name"), [""; 0]);
    let again = browser.attrs("#current_password a", "href").remove(0);
    assert_eq!(again, "/login/oidc/corp/confirm?redirect_to=%2Fuser%2Fsettings%2Ftokens%2Fnew");
    browser.submit(form, &[("name", "ci")]).await.is(422);
    assert!(browser.text().contains("Sign in again with Corp to confirm that it is you."));

    // A sign-in from before, or one whose time the provider doesn't say, or somebody else's, confirms nothing.
    let begin = site.now().unix();
    for claims in [
        json!({"sub": "s1", "auth_time": begin - 120}),
        json!({"sub": "s1", "auth_time": null}),
        json!({"sub": "s1", "auth_time": begin + 600}),
        json!({"sub": "s2"}),
        json!({"sub": "unknown"}),
    ] {
        browser.go(&again).await.is(303);
        let away = browser.answer.header("location").unwrap().to_owned();
        browser.go(&provider.approve(&site, &away, &claims)).await.is(403);
        browser.go(new).await.submit(form, &[("name", "ci")]).await.is(422);
    }
    confirm_again(&provider, &site, &mut browser, "s1").await.is(303);
    assert_eq!(browser.answer.header("location"), Some(new));
    browser.follow().await.is(200);
    assert!(browser.one("#current_password").contains("You have just signed in again."));
    browser.submit(form, &[("name", "ci")]).await.is(200);
    let token = browser.one("#secret");
    assert!(token.starts_with("phk_"), "{token}");
    site.anon().bearer(&token).publish(&path(&["grace", "tool", "1", "f"]), "hello").await;
    // It holds for five minutes, in this session alone.
    let mut other = site.browser();
    provider.sign_in(&site, &mut other, &person("s1", "grace@example.org")).await.is(303);
    other.go(new).await.submit(form, &[("name", "other")]).await.is(422);
    site.pass(Duration::from_secs(301));
    browser.go(new).await.submit(form, &[("name", "late")]).await.is(422);

    // A first password needs no other one. From then on, it is the password that is asked for.
    confirm_again(&provider, &site, &mut browser, "s1").await.is(303);
    let password = "/user/settings/password";
    let fields = [("new_password", "a whole new password"), ("again", "a whole new password")];
    browser.go(password).await.submit(&format!("form[action='{password}']"), &fields).await.is(303);
    browser.go(new).await.submit(form, &[("name", "late"), ("current_password", "a whole new password")]).await.is(200);
    site.anon().basic("grace", "a whole new password").get("/api/v1/user").await.is(200);
}

#[tokio::test]
async fn two_factor_codes_are_asked_for_after_the_provider_too() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("LINK_BY_VERIFIED_EMAIL", "true")]);
    let seed = site.db_second_factor("ada");
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &person("s1", "ada@example.org")).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/login/two-factor?redirect_to=%2F"));
    browser.follow().await.is(200);
    let code = seed.code_at(site.now()).unwrap();
    browser.submit("form[action='/login/two-factor']", &[("code", &code)]).await.is(303);
    browser.go(SECURITY).await.is(200);
    assert_eq!(details(&site, "session.begin"), [r#"{"provider": "corp", "second_factor": "totp"}"#]);
}

#[tokio::test]
async fn groups_decide_about_mapped_teams_and_administrators_at_each_sign_in() {
    let provider = SignInProvider::new();
    let teams = "dev=acme/write, ops=acme/write, boss=acme/owner, lost=acme/nothing";
    let site = provider.site(&[("AUTO_CREATE", "true"), ("TEAMS", teams), ("ADMIN_GROUP", "admins")]);
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let of = |name: &str| {
        site.db_texts(&format!(
            "SELECT t.name AS text FROM team_members m JOIN teams t ON t.id = m.team_id JOIN owners o ON o.id = m.user_id \
             WHERE o.name = '{name}' ORDER BY t.name"
        ))
    };
    let admins = || site.db_number("SELECT count(*) AS n FROM users WHERE is_admin");
    let grace = |groups: Value| with(person("s1", "grace@example.org"), json!({"groups": groups}));
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &grace(json!(["dev", "other", "admins", 7]))).await.is(303);
    assert_eq!((of("grace"), admins()), (vec!["write".to_owned()], 2));
    browser.go("/-/admin").await.is(200);
    // A team that no group stands for stays.
    site.db_execute(
        "INSERT INTO team_members SELECT t.id, u.id, now() FROM teams t, owners u WHERE t.name = 'read' AND u.name = 'grace'",
    );
    provider.sign_in(&site, &mut browser, &grace(json!(["ops"]))).await.is(303);
    assert_eq!((of("grace"), admins()), (vec!["read".to_owned(), "write".to_owned()], 1));
    browser.go("/-/admin").await.is(404);
    // Too many groups for the token: nothing follows. No groups, or none sent: they are in none.
    let elsewhere = json!({"_claim_names": {"groups": "src1"}, "groups": null});
    provider.sign_in(&site, &mut browser, &with(grace(json!([])), elsewhere)).await.is(303);
    assert_eq!(of("grace"), ["read", "write"]);
    provider.sign_in(&site, &mut browser, &with(grace(json!([])), json!({"groups": null}))).await.is(303);
    assert_eq!(of("grace"), ["read"]);
    // The last owner and the last administrator stay what they are.
    provider.sign_in(&site, &mut browser, &grace(json!(["boss", "admins"]))).await.is(303);
    site.db_execute("DELETE FROM team_members USING owners WHERE user_id = owners.id AND owners.name <> 'grace'");
    site.db_execute("UPDATE users SET is_locked = true FROM owners WHERE owners.id = users.id AND name = 'admin'");
    provider.sign_in(&site, &mut browser, &grace(json!([]))).await.is(303);
    assert_eq!((of("grace"), admins()), (vec!["owner".to_owned(), "read".to_owned()], 2));
    let said = log::captured();
    assert!(said.contains("grace is the last owner of acme") && said.contains("grace is the last administrator"));
    let changes = site.db_audit().into_iter().filter(|line| !line.starts_with("session"));
    let changes: Vec<String> = changes.skip_while(|line| !line.contains("grace")).take(4).collect();
    insta::assert_snapshot!(changes.join("\n"), @r"
    user.create by  with system from 127.0.0.1 on grace grace
    user.identity.link by  with system from 127.0.0.1 on grace grace
    team.member.add by  with system from 127.0.0.1 on acme write/grace
    user.update by  with system from 127.0.0.1 on grace grace
    ");
}

#[tokio::test]
async fn claims_that_the_token_lacks_come_from_the_userinfo_endpoint() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true"), ("TEAMS", "dev=acme/write"), ("GROUPS_CLAIM", "roles")]);
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    // Another person's are ignored.
    provider.userinfo(with(person("s2", "eve@example.org"), json!({"roles": ["dev"]})));
    provider.sign_in(&site, &mut site.browser(), &json!({"sub": "s1"})).await.is(403);
    provider.userinfo(with(person("s1", "grace@example.org"), json!({"roles": ["dev"]})));
    provider.sign_in(&site, &mut site.browser(), &json!({"sub": "s1"})).await.is(303);
    assert_eq!(links(&site), ["grace s1 grace@example.org"]);
    let added: Vec<String> = site.db_audit().into_iter().filter(|line| line.starts_with("team.member.add")).collect();
    assert!(added.last().unwrap().ends_with("write/grace"), "{added:?}");
}

#[tokio::test]
async fn signing_out_offers_to_end_the_session_at_the_provider() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &person("s1", "grace@example.org")).await.is(303).follow().await;
    browser.submit("form[action='/logout']", &[]).await.is(303).follow().await.is(200);
    let end = browser.attrs("#end", "href").remove(0);
    assert!(end.starts_with(&format!("{}/logout?client_id={CLIENT}&id_token_hint=ey", provider.url())), "{end}");
    browser.go(SECURITY).await.is(303);
    // Whoever signed in with a password is only signed out here.
    let mut other = site.browser_of("ada").await;
    other.follow().await.submit("form[action='/logout']", &[]).await.is(303);
    assert_eq!(other.answer.header("location"), Some("/"));
    // The token is encrypted in the database.
    provider.sign_in(&site, &mut browser, &person("s1", "grace@example.org")).await.is(303);
    let sealed = "SELECT encode(sealed_hint, 'hex') AS text FROM sessions WHERE sealed_hint IS NOT NULL";
    let sealed = site.db_texts(sealed).remove(0);
    assert!(sealed.len() > 1000 && !sealed.contains("65794a"), "no eyJ in {sealed}");
}

#[tokio::test]
async fn a_locked_user_stays_out_whatever_the_provider_says() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true"), ("ADMIN_GROUP", "admins")]);
    let mut browser = site.browser();
    let grace = with(person("s1", "grace@example.org"), json!({"groups": ["admins"]}));
    provider.sign_in(&site, &mut browser, &person("s1", "grace@example.org")).await.is(303);
    for closed in ["is_locked = true", "is_locked = false, is_active = false"] {
        site.db_execute(&format!("UPDATE users u SET {closed} FROM owners o WHERE o.id = u.id AND o.name = 'grace'"));
        browser.go(SECURITY).await.is(303);
        let mut again = site.browser();
        provider.sign_in(&site, &mut again, &grace).await.is(403);
        assert!(again.one("#refusal").contains("locked, or waits"));
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM users WHERE is_admin"), 1);
}

#[tokio::test]
async fn passwords_can_be_left_to_administrators_or_to_nobody() {
    let provider = SignInProvider::new();
    let login = "form[action='/login']";
    let site = provider.site(&[("PACKHOUSE_AUTH_PASSWORD_SIGN_IN", "admins"), ("LINK_BY_VERIFIED_EMAIL", "true")]);
    site.browser_of("admin").await;
    let mut ada = site.browser();
    ada.go("/login").await.submit(login, &[("name", "ada"), ("password", PASSWORD)]).await.is(401);
    site.ada().get("/api/v1/user").await.is(401).says("this server accepts no password for this account");
    site.user("admin").get("/api/v1/user").await.is(200);
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "tokens go on").await;
    // Whoever may not sign in with a password isn't asked for it either.
    provider.sign_in(&site, &mut ada, &person("s1", "ada@example.org")).await.is(303);
    ada.go("/user/settings/tokens/new").await.is(200);
    assert_eq!(ada.all("#current_password a"), ["Sign in again with Corp"]);

    let site = provider.site(&[("PACKHOUSE_AUTH_PASSWORD_SIGN_IN", "false")]);
    let mut admin = site.browser();
    admin.go("/login").await.is(200);
    assert!(admin.attrs(login, "action").is_empty());
    let fields = [("name", "admin"), ("password", PASSWORD)];
    admin.go("/login?password").await.submit(login, &fields).await.is(401);
    // The command line opens a way for an hour.
    site.db(|conn| {
        use packhouse::registry::accounts::users::set_password;
        use packhouse::registry::caller::Caller;
        let hash = crate::support::people::password_hash();
        set_password(conn, &Caller::command_line(), &"admin".parse().unwrap(), hash, site.now())
    });
    admin.go("/login?password").await.submit(login, &fields).await.is(303);
    admin.go("/-/admin/users/new").await.is(200);
    assert_eq!(admin.attrs("#current_password", "type"), ["password"], "there is nothing else to ask for");
    site.pass(Duration::from_secs(3601));
    site.browser().go("/login?password").await.submit(login, &fields).await.is(401);
}

#[tokio::test]
async fn an_unreachable_provider_never_stops_anything_and_is_tried_again() {
    let provider = SignInProvider::new();
    provider.issuer.answer("/.well-known/openid-configuration", |_| Reply::status(503));
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browser = site.browser();
    browser.go("/login/oidc/corp?redirect_to=%2Fdocs").await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/login?redirect_to=%2Fdocs"));
    browser.follow().await.is(200);
    assert_eq!(browser.one("main > .notice"), "Corp can't be reached at the moment. Try again later.");
    assert_eq!(browser.attrs("#providers button", "disabled"), [""]);
    assert!(!browser.text().contains("503"), "the reason is for administrators");
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin/sign-in").await.is(200);
    assert!(admin.one("#provider-corp").contains("503"), "{}", admin.text());
    assert!(admin.one("#provider-corp").contains("/login/oidc/corp/callback"));

    provider.issuer.restore("/.well-known/openid-configuration");
    browser.go("/login").await;
    assert_eq!(provider.issuer.count("/.well-known/openid-configuration"), 1, "not tried at each visit");
    site.pass(Duration::from_secs(61));
    eventually("the button works again", async || {
        browser.go("/login").await.is(200);
        browser.attrs("#providers button", "disabled").is_empty()
    })
    .await;
    provider.sign_in(&site, &mut browser, &person("s1", "grace@example.org")).await.is(303);
    // What is known is used as long as the provider is away.
    provider.issuer.answer("/.well-known/openid-configuration", |_| Reply::status(503));
    site.pass(Duration::from_secs(2 * 3600));
    provider.sign_in(&site, &mut site.browser(), &person("s1", "grace@example.org")).await.is(303);
}

#[tokio::test]
async fn administrators_test_a_provider_and_read_what_is_wrong() {
    let provider = SignInProvider::new();
    let site = provider.site(&[]);
    let mut admin = site.browser_of("admin").await;
    let test = "/-/admin/sign-in/corp";
    admin.go("/-/admin/sign-in").await.is(200);
    assert_eq!(admin.attrs("#provider-corp a", "href"), [test]);
    admin.go(test).await.is(200);
    let findings = admin.all("#findings li").join("\n");
    assert!(findings.contains("Discovery") && findings.contains("describes itself as configured"), "{findings}");
    assert!(findings.contains("Keys 2 at") && findings.contains("RS256") || findings.contains("RsaSsa"), "{findings}");
    let url = provider.url();
    let mut other = provider.issuer.discovery();
    other["issuer"] = json!(format!("{url}/"));
    let answer = other.clone();
    provider.issuer.answer("/.well-known/openid-configuration", move |_| {
        Reply::json(&answer, "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n")
    });
    admin.go(test).await.is(200);
    let findings = admin.all("#findings li").join("\n");
    assert!(findings.contains("another issuer") && findings.contains(&url), "{findings}");
    assert!(findings.contains("Clock is") && findings.contains("behind this server's"), "{findings}");
    other["issuer"] = json!(url);
    other["id_token_signing_alg_values_supported"] = json!(["HS256", "none"]);
    provider.issuer.answer("/.well-known/openid-configuration", move |_| Reply::json(&other, ""));
    admin.go(test).await.is(200);
    assert!(admin.all("#findings li").join("\n").contains("no asymmetric algorithm"));
    // Only administrators make this server call others.
    let before = provider.issuer.requests().len();
    site.browser_of("ada").await.go(test).await.is(404);
    site.browser().go(test).await.is(303);
    assert_eq!(provider.issuer.requests().len(), before);
}

#[tokio::test]
async fn a_registration_made_for_gitea_goes_on() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true"), ("GITEA_CALLBACK", "true")]);
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &person("s1", "grace@example.org")).await.is(303);
    assert!(browser.at.starts_with("/user/oauth2/corp/callback?code="), "{}", browser.at);
    browser.follow().await.is(303);
    browser.go(SECURITY).await.is(200);
    site.browser().go("/user/oauth2/other/callback?code=x").await.is(404);
}

#[tokio::test]
async fn everything_works_below_a_path_of_a_host_too() {
    let provider = SignInProvider::new();
    let root = "https://host.test/packages";
    let mut site = provider.site(&[("AUTO_CREATE", "true"), ("PACKHOUSE_PUBLIC_URL", root)]);
    site.proxy = Some(Proxy::Strips);
    let mut browser = site.browser();
    browser.go("/packages/login?redirect_to=%2Fpackages%2Fexplore").await.is(200);
    let begin = browser.attrs("#providers a", "href").remove(0);
    browser.go(&begin).await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    let redirect = "redirect_uri=https%3A%2F%2Fhost.test%2Fpackages%2Flogin%2Foidc%2Fcorp%2Fcallback";
    assert!(away.contains(redirect), "{away}");
    let back = provider.approve(&site, &away, &person("s1", "grace@example.org"));
    browser.go(&back).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/packages/explore"));
    browser.go("/packages/user/settings/security").await.is(200);
}
