//! Nobody can lock someone else out: wrong passwords from elsewhere don't count against a browser, an address or a
//! token that is known to be the user's, and nobody gains attempts by that.

use crate::credentials::private_with;
use crate::support::browser::Browser;
use crate::support::people::db_user;
use crate::support::{Answer, PASSWORD, Site, path};
use packhouse::domain::role::Visibility;
use packhouse::registry::accounts::{attempts, known_addresses};
use std::time::Duration;

const DEVICE: &str = "packhouse-device";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The address of Ada's usual network.
const HOME: &str = "198.51.100.7";

fn file() -> String {
    path(&["ada", "tool", "1", "f"])
}

/// A server behind a proxy that names the client of each request.
async fn behind_a_proxy() -> Site {
    private_with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]).await
}

/// A request with a password from an address.
async fn sign_in(site: &Site, name: &str, password: &str, from: &str) -> Answer {
    site.anon().basic(name, password).get(&file()).header("x-forwarded-for", from).await
}

/// Sends wrong passwords for a name, each from another address, until the account's bucket is full.
async fn attack(site: &Site, name: &str) {
    for at in 0..10 {
        sign_in(site, name, &format!("guess {at}"), &format!("203.0.113.{at}")).await.is(401);
    }
    sign_in(site, name, "one more", "203.0.113.99").await.is(429);
}

/// Forgets the passwords that the server remembers for five minutes, which need no attempt.
fn forget_passwords(site: &Site) {
    site.pass(MINUTE * 6);
}

/// Tries to sign in with a form, and returns the status.
async fn try_form(browser: &mut Browser, name: &str, password: &str) -> u16 {
    browser.go("/login").await.is(200);
    browser.submit("form[action='/login']", &[("name", name), ("password", password)]).await;
    browser.answer.status
}

#[tokio::test]
async fn an_address_that_signed_in_before_is_not_barred_by_strangers() {
    let site = behind_a_proxy().await;
    for home in [HOME, "2001:db8:1:2::7"] {
        sign_in(&site, "ada", PASSWORD, home).await.is(200);
    }
    forget_passwords(&site);
    attack(&site, "ada").await;
    let barred = sign_in(&site, "ada", PASSWORD, "192.0.2.1").await.is(429);
    barred.says("or use an access token");
    site.reader().get(&file()).await.is(200);
    // By name or by email address, and with another address of the same IPv6 network.
    for (name, home) in [("ada", HOME), ("ADA@example.org", HOME), ("ada", "2001:db8:1:2:ffff::1")] {
        forget_passwords(&site);
        attack(&site, "ada").await;
        sign_in(&site, name, PASSWORD, home).await.is(200);
    }
    forget_passwords(&site);
    attack(&site, "ada").await;
    sign_in(&site, "ada", PASSWORD, "2001:db8:1:3::7").await.is(429);
    forget_passwords(&site);
    // Another account gains nothing from that address.
    attack(&site, "stranger").await;
    sign_in(&site, "stranger", PASSWORD, HOME).await.is(429);
}

#[tokio::test]
async fn a_full_limit_for_everybody_does_not_bar_a_known_address() {
    let site = behind_a_proxy().await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    forget_passwords(&site);
    let all = attempts::SIGN_INS_IN_ALL;
    let ends = site.now().plus(MINUTE * 4);
    site.db_execute("DELETE FROM attempts");
    site.db_execute(&format!("INSERT INTO attempts VALUES ('sign-in in all', '{ends}', {all})"));
    sign_in(&site, "ada", PASSWORD, "192.0.2.1").await.is(429);
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    // Nor do other users' wrong passwords from the same network.
    site.db_execute("DELETE FROM attempts");
    forget_passwords(&site);
    for at in 0..10 {
        sign_in(&site, &format!("nobody-{at}"), "wrong", HOME).await.is(401);
    }
    sign_in(&site, "stranger", PASSWORD, HOME).await.is(429);
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
}

#[tokio::test]
async fn a_flood_of_guesses_leaves_room_for_a_known_address() {
    let site = behind_a_proxy().await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    forget_passwords(&site);
    let guess = async |at: usize| {
        let (name, from) = (format!("nobody-{at}"), format!("203.0.113.{at}"));
        sign_in(&site, &name, "wrong password", &from).await.status
    };
    let flood = futures_util::future::join_all((0..90).map(guess));
    let own = async {
        // The flood fills the queue first.
        tokio::task::yield_now().await;
        sign_in(&site, "ada", PASSWORD, HOME).await.status
    };
    let (refused, own) = futures_util::future::join(flood, own).await;
    assert!(refused.contains(&503), "{refused:?}");
    assert_eq!(own, 200);
}

#[tokio::test]
async fn a_known_address_has_ten_attempts_of_its_own() {
    let site = behind_a_proxy().await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    forget_passwords(&site);
    for at in 0..10 {
        sign_in(&site, "ada", &format!("guess {at}"), HOME).await.is(401);
    }
    sign_in(&site, "ada", PASSWORD, HOME).await.is(429).says("access token");
    // They don't count for others: neither for the account elsewhere, nor for other accounts there.
    sign_in(&site, "ada", PASSWORD, "192.0.2.1").await.is(200);
    sign_in(&site, "stranger", PASSWORD, HOME).await.is(404);
    site.pass(MINUTE * 6);
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
}

#[tokio::test]
async fn an_address_is_known_for_thirty_days_and_until_the_password_changes() {
    let site = behind_a_proxy().await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    site.pass(DAY * 29);
    attack(&site, "ada").await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    site.pass(DAY * 31);
    attack(&site, "ada").await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(429);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM known_addresses"), 1);
    site.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(site.db_number("SELECT count(*) AS n FROM known_addresses"), 0);
    site.pass(MINUTE * 6);
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
    attack(&site, "ada").await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(429);
}

#[tokio::test]
async fn twenty_addresses_of_a_user_are_known_and_the_oldest_is_forgotten() {
    let site = behind_a_proxy().await;
    let most = usize::try_from(known_addresses::MOST).unwrap();
    for at in 0..=most {
        site.pass(Duration::from_secs(1));
        sign_in(&site, "ada", PASSWORD, &format!("198.51.100.{at}")).await.is(200);
    }
    let known = site.db_texts("SELECT network AS text FROM known_addresses ORDER BY last_used_at");
    assert_eq!((known.len(), &*known[0]), (most, "198.51.100.1"));
}

#[tokio::test]
async fn only_a_complete_sign_in_makes_an_address_known() {
    let site = behind_a_proxy().await;
    let seed = site.db_second_factor("ada");
    // The thief of a password has no second factor.
    let thief = "192.0.2.66";
    sign_in(&site, "ada", PASSWORD, thief).await.is(401).says("X-Gitea-OTP");
    let request = |code: String, from: &str| {
        let client = site.anon().basic("ada", PASSWORD).get(&file());
        client.header("x-forwarded-for", from).header("x-gitea-otp", code)
    };
    request("000000".to_owned(), thief).await.is(401);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM known_addresses"), 0);
    request(seed.code_at(site.now()).unwrap(), HOME).await.is(200);
    assert_eq!(site.db_texts("SELECT network AS text FROM known_addresses"), [HOME]);
    // The thief cannot bar the code of the user either.
    for _ in 0..4 {
        request("000000".to_owned(), thief).await.is(401);
    }
    site.pass(MINUTE);
    request(seed.code_at(site.now()).unwrap(), thief).await.is(429);
    request(seed.code_at(site.now()).unwrap(), HOME).await.is(200);
}

#[tokio::test]
async fn a_browser_that_signed_in_before_is_not_barred_by_strangers() {
    let site = behind_a_proxy().await;
    let mut known = site.browser_of("ada").await;
    known.keep_only(DEVICE);
    // The browser is somewhere else now.
    site.db_execute("DELETE FROM known_addresses");
    forget_passwords(&site);
    attack(&site, "ada").await;
    let mut new = site.browser();
    assert_eq!(try_form(&mut new, "ada", PASSWORD).await, 429);
    let message = new.text();
    assert!(message.contains("that you used before") && message.contains("Access tokens keep working"), "{message}");
    assert_eq!(try_form(&mut known, "ada", PASSWORD).await, 303);
    // Ten wrong passwords in this browser bar this browser, and signing in doesn't give it another ten: its name stays.
    let name = || site.db_texts("SELECT bucket AS text FROM attempts WHERE bucket LIKE 'sign-in device %'");
    let before = name();
    assert_eq!(before.len(), 1);
    forget_passwords(&site);
    known.keep_only(DEVICE);
    for at in 0..10 {
        assert_eq!(try_form(&mut known, "ada", &format!("guess {at}")).await, 401);
    }
    assert_eq!(name(), before);
    assert_eq!(try_form(&mut known, "ada", PASSWORD).await, 429);
    // Elsewhere the account is as free as before.
    sign_in(&site, "ada", PASSWORD, "192.0.2.1").await.is(200);
}

#[tokio::test]
async fn a_device_cookie_counts_for_its_own_account_and_epoch_alone() {
    let site = behind_a_proxy().await;
    let mut stranger = site.browser_of("stranger").await;
    stranger.keep_only(DEVICE);
    let (device, adas) = site.browser_of("ada").await.cookie(DEVICE);
    site.db_execute("DELETE FROM known_addresses");
    forget_passwords(&site);
    attack(&site, "ada").await;
    // A cookie of another account doesn't help, however many there are.
    for _ in 0..3 {
        assert_eq!(try_form(&mut stranger, "ada", "guess").await, 429);
        let mut again = site.browser_of("stranger").await;
        again.keep_only(DEVICE);
        assert_eq!(try_form(&mut again, "ada", "guess").await, 429);
        site.db_execute("DELETE FROM known_addresses");
    }
    // Nor does a forged one.
    let (head, rest) = adas.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    for forged in [format!("{head}.{claims}.AAAA"), format!("{head}.{claims}."), "x".to_owned(), String::new()] {
        let mut browser = site.browser();
        browser.set_cookie(&device, &forged);
        assert_eq!(try_form(&mut browser, "ada", PASSWORD).await, 429, "{forged}");
    }
    // A session's cookie is no device cookie.
    let (_, session) = site.browser_of("stranger").await.cookie("packhouse");
    let mut browser = site.browser();
    browser.set_cookie(&device, &session);
    assert_eq!(try_form(&mut browser, "ada", PASSWORD).await, 429);
    // The real one helps, until the account's epoch changes.
    let mut browser = site.browser();
    browser.set_cookie(&device, &adas);
    assert_eq!(try_form(&mut browser, "ada", "guess").await, 401);
    site.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
    assert_eq!(try_form(&mut browser, "ada", PASSWORD).await, 429);
    site.pass(DAY * 181);
    attack(&site, "ada").await;
    assert_eq!(try_form(&mut browser, "ada", PASSWORD).await, 429);
}

#[tokio::test]
async fn several_users_of_one_browser_are_all_known() {
    let site = behind_a_proxy().await;
    let mut shared = site.browser_of("ada").await;
    shared.keep_only(DEVICE);
    assert_eq!(try_form(&mut shared, "stranger", PASSWORD).await, 303);
    shared.keep_only(DEVICE);
    site.db_execute("DELETE FROM known_addresses");
    forget_passwords(&site);
    attack(&site, "ada").await;
    assert_eq!(try_form(&mut shared, "ada", PASSWORD).await, 303);
}

#[tokio::test]
async fn a_signed_in_user_can_confirm_their_password_during_an_attack() {
    let site = behind_a_proxy().await;
    let mut browser = site.browser_of("ada").await;
    site.db_execute("DELETE FROM known_addresses");
    forget_passwords(&site);
    attack(&site, "ada").await;
    browser.go("/user/settings/password").await.is(200);
    let new = "another long password 17";
    let fields = [("current_password", PASSWORD), ("new_password", new), ("again", new)];
    browser.submit("form[action='/user/settings/password']", &fields).await.is(303);
    // The change ended every other session, and this browser is known again.
    browser.keep_only(DEVICE);
    site.db_execute("DELETE FROM known_addresses");
    forget_passwords(&site);
    attack(&site, "ada").await;
    assert_eq!(try_form(&mut browser, "ada", new).await, 303);
}

#[tokio::test]
async fn an_attacker_with_a_48_of_ipv6_has_fifty_attempts() {
    let site = behind_a_proxy().await;
    let from = |site: &str, at: usize| format!("2001:db8:{site}:{at:x}::1");
    for at in 0..50 {
        sign_in(&site, &format!("nobody-{at}"), "wrong", &from("a", at)).await.is(401);
    }
    sign_in(&site, "nobody", "wrong", &from("a", 99)).await.is(429);
    sign_in(&site, "nobody", "wrong", &from("b", 99)).await.is(401);
}

#[tokio::test]
async fn a_known_address_is_known_to_every_server_of_the_database() {
    let site = behind_a_proxy().await;
    sign_in(&site, "ada", PASSWORD, HOME).await.is(200);
    let known = site.db(|conn| {
        let login = packhouse::registry::accounts::users::find_login(conn, "ada")?.unwrap();
        let known = |conn: &mut _, user, from: &str| {
            known_addresses::is_known(conn, (user, login.auth_epoch), from.parse().unwrap(), site.now())
        };
        let stranger = packhouse::registry::accounts::users::find_login(conn, "stranger")?.unwrap();
        Ok((known(conn, login.id, HOME)?, known(conn, login.id, "192.0.2.1")?, known(conn, stranger.id, HOME)?))
    });
    assert_eq!(known, (true, false, false));
}

#[tokio::test]
async fn all_users_who_are_known_at_an_address_have_a_limit_together() {
    let site = behind_a_proxy().await;
    let names: Vec<String> = (0..6).map(|at| format!("worker{at}")).collect();
    for name in &names {
        site.db(|conn| db_user(conn, name, Visibility::Public, false));
        sign_in(&site, name, PASSWORD, HOME).await.is(404);
    }
    forget_passwords(&site);
    for at in 0..50 {
        sign_in(&site, &names[at % 6], &format!("guess {at}"), HOME).await.is(401);
    }
    sign_in(&site, &names[0], "one more", HOME).await.is(429);
    // Other addresses are as free as before.
    sign_in(&site, &names[0], PASSWORD, "192.0.2.1").await.is(404);
}
