//! The second factor and the sessions, in the browser.

use crate::support::browser::Browser;
use crate::support::log;
use crate::support::{PASSWORD, Site, path};
use packhouse::registry::access::can_administer;
use packhouse::registry::accounts::two_factor::reset;
use packhouse::registry::caller::Caller;
use std::time::Duration;

const SECURITY: &str = "/user/settings/security";
const ENROLL: &str = "/user/settings/security/enroll";
const CODES: &str = "/user/settings/security/recovery-codes";
const DISABLE: &str = "/user/settings/security/disable";
const CODE_FORM: &str = "form[action='/login/two-factor']";

fn form(page: &str) -> String {
    format!("form[action='{page}']")
}

fn changes(site: &Site) -> Vec<String> {
    site.db_audit().into_iter().filter(|record| record.starts_with("user.")).collect()
}

/// The code of the secret that a page shows, as a device would compute it.
fn code(browser: &Browser, site: &Site) -> String {
    let spelled = browser.one("#seed").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(&spelled).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("x").build().unwrap();
    totp.generate(u64::try_from(site.now().unix()).unwrap()).to_string()
}

/// Sets a second factor up, and gives the recovery codes.
async fn set_up(browser: &mut Browser, site: &Site) -> Vec<String> {
    browser.go(ENROLL).await.is(200);
    let code = code(browser, site);
    browser.submit(&form(ENROLL), &[("code", &code), ("current_password", PASSWORD)]).await.is(200);
    browser.one("#codes").split(' ').map(str::to_owned).collect()
}

/// Signs in with the password, as far as the second factor.
async fn knock(site: &Site) -> Browser {
    let mut browser = site.browser_of("ada").await;
    browser.follow().await.is(200);
    browser
}

#[tokio::test]
async fn two_factor_starts_with_a_valid_code_and_ends_other_sessions() {
    let site = Site::new();
    let (mut here, mut elsewhere) = (site.browser_of("ada").await, site.browser_of("ada").await);
    here.go(SECURITY).await.is(200);
    assert_eq!(here.one(".card .badge"), "Off");
    here.go(ENROLL).await.is(200);
    let picture = here.attrs("img.qr", "src").remove(0);
    assert!(picture.starts_with("data:image/svg+xml;base64,"));
    assert!(!here.answer.text().contains("style="));
    assert_eq!(site.db_number("SELECT count(*) AS n FROM second_factors"), 0, "looking changes nothing");

    let (seed, right) = (here.one("#seed"), code(&here, &site));
    let wrong = if right == "000000" { "000001" } else { "000000" };
    here.submit(&form(ENROLL), &[("code", wrong), ("current_password", PASSWORD)]).await.is(422);
    assert_eq!(here.attrs("[aria-invalid=true]", "name"), ["code"]);
    assert_eq!(here.one("#seed"), seed, "the same secret: what was scanned stays good");
    here.submit(&form(ENROLL), &[("code", &right), ("current_password", "wrong")]).await.is(422);
    assert_eq!(here.attrs("[aria-invalid=true]", "name"), ["current_password"]);
    assert!(changes(&site).is_empty());
    elsewhere.go(SECURITY).await.is(200);

    let before = here.cookie("packhouse");
    let spaced = format!("{} {}", &right[..3], &right[3..]);
    here.submit(&form(ENROLL), &[("code", &spaced), ("current_password", PASSWORD)]).await.is(200);
    assert_eq!(here.answer.header("cache-control"), Some("no-store"));
    let codes: Vec<String> = here.one("#codes").split(' ').map(str::to_owned).collect();
    assert_eq!(codes.len(), 10);
    assert!(here.attrs("a[download]", "href")[0].starts_with("data:text/plain;base64,"));
    assert_ne!(here.cookie("packhouse"), before);
    // The forms of this very page are of the new session.
    here.submit("form[action='/-/theme']", &[("theme", "dark")]).await.is(303);
    here.go(SECURITY).await.is(200);
    assert_eq!(here.one(".card .badge"), "On");
    assert_eq!(here.all("tbody tr").len(), 1);
    elsewhere.go(SECURITY).await.is(303);
    assert_eq!(changes(&site), ["user.two_factor.enroll by ada with session from 127.0.0.1 on ada ada"]);
    here.go(ENROLL).await.is(303);

    // The code that confirmed it is used up.
    let mut other = knock(&site).await;
    other.submit(CODE_FORM, &[("code", &right)]).await.is(401);
    let said = log::captured();
    let bare = seed.replace(' ', "");
    assert!(!said.contains(&bare) && !said.contains(&seed) && !codes.iter().any(|code| said.contains(code)));
    let kept = site.db_texts("SELECT detail::text AS text FROM audit").join("\n");
    assert!(!kept.contains(&bare) && !codes.iter().any(|code| kept.contains(code)));
}

#[tokio::test]
async fn an_expired_or_foreign_two_factor_secret_is_rejected() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go(ENROLL).await.is(200);
    let (seed, offer) = (browser.one("#seed"), browser.attrs("[name=offer]", "value").remove(0));
    site.pass(Duration::from_secs(601));
    let late = code(&browser, &site);
    browser.submit(&form(ENROLL), &[("code", &late), ("current_password", PASSWORD)]).await.is(422);
    assert!(browser.one("[role=alert]").contains("expired"));
    assert_ne!(browser.one("#seed"), seed, "a new one");
    let mut thief = site.browser_of("stranger").await;
    thief.go(ENROLL).await.is(200);
    let fresh = browser.attrs("[name=offer]", "value").remove(0);
    for offer in [&*fresh, &*offer, "", "nonsense!", "AAAA"] {
        let code = code(&browser, &site);
        thief.submit(&form(ENROLL), &[("offer", offer), ("code", &code), ("current_password", PASSWORD)]).await.is(422);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM second_factors"), 0);
}

#[tokio::test]
async fn a_recovery_code_works_once_and_shows_how_many_are_left() {
    let site = Site::new();
    let codes = set_up(&mut site.browser_of("ada").await, &site).await;
    let mut browser = knock(&site).await;
    let (_, pending) = browser.cookie("packhouse-pending");
    browser.submit(CODE_FORM, &[("code", "0000000000")]).await.is(401);
    browser.submit(CODE_FORM, &[("code", &codes[0].to_uppercase())]).await.is(303).follow().await.is(200);
    assert_eq!(browser.one("[role=status].notice"), "Recovery code used. You have 9 left.");
    let how = site.db_texts("SELECT detail::text AS text FROM audit WHERE event = 'session.begin' ORDER BY id");
    assert_eq!(how.last().unwrap(), r#"{"second_factor": "recovery_code"}"#);
    let mut again = knock(&site).await;
    again.submit(CODE_FORM, &[("code", &codes[0])]).await.is(401);
    again.submit(CODE_FORM, &[("code", &codes[1].replace('-', " "))]).await.is(303);
    // What waits for the second factor is no session.
    let mut thief = site.browser();
    thief.cookies.insert(format!("packhouse-{}", site.address.port()), pending);
    thief.go(SECURITY).await.is(303);
    // Programs send codes of the device alone.
    site.ada().get("/api/v1/user").header("x-gitea-otp", &codes[2]).await.is(401);
}

#[tokio::test]
async fn a_code_that_comes_too_late_leads_back_to_the_password_with_the_reason() {
    let site = Site::new();
    let codes = set_up(&mut site.browser_of("ada").await, &site).await;
    let mut browser = knock(&site).await;
    site.pass(Duration::from_secs(301));
    browser.submit(CODE_FORM, &[("code", &codes[0]), ("back", "/docs")]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/login?redirect_to=%2Fdocs"));
    browser.follow().await.is(200);
    assert!(browser.one("[role=alert].notice").contains("The time for the code is over."));
    assert_eq!(browser.one("#purpose"), "Sign in to read the manual.");
}

#[tokio::test]
async fn only_one_of_many_sign_ins_with_one_recovery_code_succeeds() {
    let site = Site::new();
    let codes = set_up(&mut site.browser_of("ada").await, &site).await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        browsers.push(knock(&site).await);
    }
    let tries = browsers
        .iter_mut()
        .map(|browser| async { browser.submit(CODE_FORM, &[("code", &codes[0])]).await.answer.status });
    let mut statuses = futures_util::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 401, 401, 401]);
}

#[tokio::test]
async fn guessing_recovery_codes_is_429_after_five_attempts() {
    let site = Site::new();
    let codes = set_up(&mut site.browser_of("ada").await, &site).await;
    let mut browser = knock(&site).await;
    for at in 0..5 {
        browser.submit(CODE_FORM, &[("code", &format!("00000-0000{at}"))]).await.is(401);
    }
    browser.submit(CODE_FORM, &[("code", &codes[0])]).await.is(429);
    let wait: u64 = browser.answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait));
    site.pass(Duration::from_secs(wait));
    let mut browser = knock(&site).await;
    browser.submit(CODE_FORM, &[("code", &codes[0])]).await.is(303);
}

#[tokio::test]
async fn new_recovery_codes_invalidate_the_old_ones() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go(CODES).await.is(303);
    let old = set_up(&mut browser, &site).await;
    browser.go(CODES).await.is(200).submit(&form(CODES), &[("current_password", "wrong")]).await.is(422);
    browser.submit(&form(CODES), &[("current_password", PASSWORD)]).await.is(200);
    let new: Vec<String> = browser.one("#codes").split(' ').map(str::to_owned).collect();
    assert!(new.len() == 10 && new.iter().all(|code| !old.contains(code)));
    browser.go(SECURITY).await.is(200);
    assert_eq!(changes(&site)[1..], ["user.two_factor.recovery_codes by ada with session from 127.0.0.1 on ada ada"]);
    let mut other = knock(&site).await;
    other.submit(CODE_FORM, &[("code", &old[0])]).await.is(401);
    other.submit(CODE_FORM, &[("code", &new[0])]).await.is(303);
}

#[tokio::test]
async fn turning_off_two_factor_needs_the_password_and_ends_sessions() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    let codes = set_up(&mut browser, &site).await;
    let mut elsewhere = knock(&site).await;
    elsewhere.submit(CODE_FORM, &[("code", &codes[0])]).await.is(303);
    browser.go(DISABLE).await.is(200).submit(&form(DISABLE), &[("current_password", "wrong")]).await.is(422);
    browser.submit(&form(DISABLE), &[("current_password", PASSWORD)]).await.is(303).follow().await.is(200);
    assert_eq!(browser.one(".card .badge"), "Off");
    elsewhere.go(SECURITY).await.is(303);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM recovery_codes"), 0);
    assert_eq!(changes(&site)[1..], ["user.two_factor.remove by ada with session from 127.0.0.1 on ada ada"]);
    let mut again = site.browser_of("ada").await;
    again.go(SECURITY).await.is(200);
}

#[tokio::test]
async fn an_administrator_helps_users_who_lost_device_and_codes() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    set_up(&mut browser, &site).await;
    let caller = Caller::command_line();
    site.db(|conn| {
        let right = can_administer(conn, &caller, &"ada".parse().unwrap())?;
        reset(conn, &caller, &right, site.now())?;
        assert!(reset(conn, &caller, &right, site.now()).is_err(), "there is none any more");
        Ok(())
    });
    browser.go(SECURITY).await.is(303);
    assert_eq!(
        changes(&site)[1..],
        ["user.two_factor.remove by command-line with command-line from nowhere on ada ada"]
    );
    site.browser_of("ada").await.go(SECURITY).await.is(200);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_or_all_at_once() {
    let site = Site::new();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let mut phone = site.browser();
    phone.go("/login").await;
    let body = format!("csrf={}&name=ada&password={}", phone.csrf(), PASSWORD.replace(' ', "+"));
    let kind = ("content-type", "application/x-www-form-urlencoded");
    phone.send("POST", "/login", &[kind, ("user-agent", agent)], Some(body.into_bytes())).await.is(303);
    site.pass(Duration::from_secs(7200));
    let mut here = site.browser_of("ada").await;
    here.go(SECURITY).await.is(200);
    let rows = here.all("tbody tr");
    assert_eq!(rows.len(), 2);
    assert!(rows[0].contains("This device") && rows[0].contains("127.0.0.1"), "{rows:?}");
    assert!(rows[1].contains("Firefox on Linux") && rows[1].contains("2 hours ago"), "{rows:?}");

    let mut stranger = site.browser_of("stranger").await;
    let theirs = here.attrs("tbody tr:nth-child(2) button", "value").remove(0);
    let form = format!("csrf={}&session={theirs}", stranger.go(SECURITY).await.csrf());
    stranger.post("/user/settings/security/sessions/end", form).await.is(404);
    phone.go(SECURITY).await.is(200);
    here.go(SECURITY).await.submit("tbody tr:nth-child(2) form", &[("session", &theirs)]).await.is(303);
    phone.go(SECURITY).await.is(303);
    here.follow().await.is(200);
    assert_eq!(here.all("tbody tr").len(), 1);

    let mut other = site.browser_of("ada").await;
    here.submit("form[action$='/end-all']", &[]).await.is(303).follow().await.is(200);
    assert_eq!(here.one("[role=status].notice"), "You've been signed out everywhere.");
    other.go(SECURITY).await.is(303);
    stranger.go(SECURITY).await.is(200);
    let ends = site.db_audit().into_iter().filter(|record| record.starts_with("session.end")).collect::<Vec<_>>();
    assert_eq!(
        ends,
        [
            "session.end by ada with session from 127.0.0.1 on ada ada",
            "session.end_all by ada with session from 127.0.0.1 on ada ada"
        ]
    );
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "tokens go on").await;
}

#[tokio::test]
async fn the_least_recently_used_session_ends_when_there_are_too_many() {
    let site = Site::new();
    let mut oldest = site.browser_of("ada").await;
    site.pass(Duration::from_secs(60));
    site.db_execute(
        "INSERT INTO sessions (id, user_id, auth_epoch, created_at, last_seen_at, expires_at, address, user_agent) \
         SELECT gen_random_uuid(), u.id, u.auth_epoch, s.created_at, s.last_seen_at + interval '1 s', s.expires_at, '', '' \
         FROM sessions s JOIN users u ON u.id = s.user_id, generate_series(1, 99)",
    );
    oldest.go(SECURITY).await.is(200);
    let mut newest = site.browser_of("ada").await;
    assert_eq!(site.db_number("SELECT count(*) AS n FROM sessions"), 100);
    newest.go(SECURITY).await.is(200);
    assert_eq!(newest.all("tbody tr").len(), 100);
    oldest.go(SECURITY).await.is(303);
}
