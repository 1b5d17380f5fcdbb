//! What the sign-in page and the error pages explain: what they are for, why, and what to do.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;

#[tokio::test]
async fn the_sign_in_page_says_what_it_is_for_but_not_what_exists() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "vault", Visibility::Private));
    site.ada().publish(&path(&["vault", "firmware", "1.0", "f"]), "x").await;
    let mut browser = site.browser();
    let mut pages = Vec::new();
    for owner in ["vault", "fault"] {
        browser.go(&format!("/{owner}/-/packages/generic/firmware/1.0")).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.one("#purpose"), format!("Sign in to open {owner}/firmware."));
        assert_eq!(browser.one("title"), format!("Sign in to open {owner}/firmware · Packhouse"));
        assert!(browser.all("#reason").is_empty(), "nobody was signed in before");
        pages.push(browser.text().replace(owner, "owner"));
    }
    let without_token = |page: &String| page.replace(&browser.csrf(), "");
    assert_eq!(without_token(&pages[0]), without_token(&pages[1]), "a private owner and none look alike");
    browser.go("/vault/-/upload").await.is(303).follow().await.is(200);
    assert_eq!(browser.one("#purpose"), "Sign in to upload files to vault.");
    browser.submit("form[action='/login']", &[("name", "ada"), ("password", "wrong")]).await.is(401);
    assert_eq!(browser.one("#purpose"), "Sign in to upload files to vault.");
    browser.go("/login").await.is(200);
    assert!(browser.all("#purpose").is_empty());
}

#[tokio::test]
async fn the_sign_in_page_says_that_a_session_ended_or_a_form_was_lost() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings").await.is(200);
    let csrf = browser.csrf();
    site.db_execute("DELETE FROM sessions");
    browser.go("/user/settings").await.is(303).follow().await.is(200);
    assert_eq!(browser.one("#reason"), "Your session has ended. Sign in again.");
    let from = format!("http://{}/user/settings", site.address);
    let form = format!("csrf={csrf}&full_name=Countess&description=&website=&location=&visibility=public");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let fields = [kind, ("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("referer", from.as_str())];
    browser.send("POST", "/user/settings", &fields, Some(form.into_bytes())).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/login?lost=1&redirect_to=%2Fuser%2Fsettings"));
    browser.follow().await.is(200);
    assert!(browser.one("#reason").contains("the form was not saved"));
    browser.submit("form[action='/login']", &[("name", "ada"), ("password", crate::support::PASSWORD)]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/user/settings"), "back to the form");
}

#[tokio::test]
async fn a_page_that_a_member_may_not_use_says_why_and_what_to_do() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_org(conn, "closed", Visibility::Private)
    });
    let mut reader = site.browser_of("acme-read").await;
    for page in ["/acme/-/upload", "/acme/-/trash"] {
        reader.go(page).await.is(403);
        assert_eq!(reader.one("h1"), "Access denied");
        assert_eq!(reader.one("#message"), "You don't have write access to acme.");
        assert!(reader.one("#advice").contains("ask an owner"), "{page}");
        assert!(reader.attrs(".ways a", "href").contains(&"/".to_owned()), "{page}");
    }
    reader.go("/org/acme/settings").await.is(403);
    assert!(reader.one("#message").starts_with("Only owners of acme can do this"));
    for page in ["/-/admin", "/closed/-/upload", "/nobody/-/upload", "/org/closed/settings"] {
        reader.go(page).await.is(404);
        assert!(reader.one("#message").contains("you may not have access to it"), "{page}");
    }
}

#[tokio::test]
async fn error_pages_have_the_request_id_and_a_way_back() {
    let site = Site::new();
    let mut browser = site.browser();
    let from = format!("http://{}/explore/packages?q=a", site.address);
    let page = "/ada/-/packages/generic/nothing/1.0";
    browser.send("GET", page, &[("accept", "text/html"), ("referer", from.as_str())], None).await.is(404);
    let id = browser.answer.header("x-request-id").unwrap().to_owned();
    assert!(browser.one("main").contains(&id));
    let hrefs = browser.attrs(".ways a", "href");
    let sign_in = "/login?redirect_to=%2Fada%2F-%2Fpackages%2Fgeneric%2Fnothing%2F1.0";
    assert_eq!(hrefs, ["/explore/packages?q=a", sign_in, "/explore/packages", "/"]);
    for foreign in ["https://evil.example/x", "http://127.0.0.1.evil.example/x", "javascript:alert(1)"] {
        browser.send("GET", page, &[("accept", "text/html"), ("referer", foreign)], None).await.is(404);
        assert!(!browser.text().contains("Go back"), "{foreign}");
    }
}
