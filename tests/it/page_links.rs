//! Addresses of pages that people copy to `curl`, `wget` and other programs.

use crate::support::people::{db_org, db_user};
use crate::support::wire::ask;
use crate::support::{PASSWORD, Site, path};
use packhouse::domain::role::Visibility;
use std::fs;
use std::process::Command;

const BYTES: &str = "the bytes";

/// A server with a package of a private organization, and the link on the page of its only version to its only file.
async fn settle(name: &str) -> (Site, String) {
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    site.admin().publish(&path(&["secret", "tool", "1.0", name]), BYTES).await;
    let mut member = site.browser_of("secret-read").await;
    member.go("/secret/-/packages/generic/tool/1.0").await.is(200);
    let link = member.attrs(".files th.name > a:not(.more)", "href").remove(0);
    (site, link)
}

#[tokio::test]
async fn a_link_to_a_file_ends_in_its_name_and_takes_every_credential() {
    let (site, link) = settle("a tool.tar.gz").await;
    assert!(link.ends_with("/a%20tool.tar.gz"), "{link}");
    let member = site.anon().bearer(&site.db_token("secret-read", &["read:package"]));
    let by_id = link.rsplit_once('/').unwrap().0;
    for client in [member, site.user("secret-read"), site.admin()] {
        assert_eq!(client.get(&link).await.is(200).text(), BYTES);
        client.head(&link).await.is(200);
        let old = client.get(&format!("{by_id}?shown=1")).await.is(308);
        assert_eq!(old.header("location"), Some(&*format!("{link}?shown=1")));
    }
    let lacking = site.anon().bearer(&site.db_token("secret-read", &["write:user"]));
    lacking.get(&link).await.is(403).says("read:package");
    for (client, status) in [(site.anon(), 401), (site.anon().bearer("nonsense"), 401), (site.stranger(), 404)] {
        for address in [&*link, by_id, "/nobody/-/packages/generic/tool/1.0/files/1/f"] {
            let answer = client.get(address).await.is(status);
            let challenge = (status == 401).then_some("Basic realm=\"Packhouse\", charset=\"UTF-8\"");
            assert_eq!(answer.header("www-authenticate"), challenge, "{address}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    assert_eq!(
        site.anon().get(&link).await.looks(),
        site.anon().get("/nobody/-/packages/generic/tool/1.0/files/1/f").await.looks()
    );
    // The name is checked, and so is the rest of the path.
    site.admin().get(&format!("{by_id}/other.tar.gz")).await.is(404);
    site.admin().get(&format!("{by_id}/A%20TOOL.tar.gz")).await.is(200);
    site.admin().get(&link.replace("/1.0/", "/2.0/")).await.is(404);
    site.db_flush().await;
    assert_eq!(site.db_number("SELECT sum(download_count)::bigint AS n FROM files"), 4);
}

#[tokio::test]
async fn a_browser_without_a_session_is_led_to_sign_in_and_gets_no_challenge() {
    let (site, link) = settle("tool").await;
    for fields in [
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        // An image of a page, or a script: a challenge would open a window that asks for a password.
        ("accept", "image/avif,image/webp,*/*;q=0.8"),
        ("sec-fetch-site", "same-origin"),
    ] {
        let answer = site.anon().get(&link).header(fields.0, fields.1).await.is(303);
        assert!(answer.header("location").unwrap().starts_with("/login?redirect_to=%2Fsecret"), "{fields:?}");
        assert_eq!(answer.header("www-authenticate"), None);
        let public = site.anon().bearer("nonsense").get("/explore/owners").header(fields.0, fields.1);
        public.await.is(200);
    }
    // Signing in leads back to the file.
    let mut browser = site.browser();
    browser.go(&link).await.is(303).follow().await.is(200);
    browser.submit("form[action='/login']", &[("name", "secret-read"), ("password", PASSWORD)]).await.is(303);
    assert_eq!(browser.follow().await.is(200).text(), BYTES);
    // A proxy's own password, which browsers send with every request, is not in the way of a session.
    let own = [("authorization", "Basic cHJveHk6c2VjcmV0"), ("accept", "text/html")];
    assert_eq!(browser.send("GET", &link, &own, None).await.is(200).text(), BYTES);
}

#[tokio::test]
async fn curl_fails_without_a_credential_and_wget_saves_files_under_their_names() {
    let (site, link) = settle("tool.bin").await;
    let url = format!("http://{}{link}", site.address);
    let dir = tempfile::tempdir().unwrap();
    let run = async |command: String| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(dir.path()).env("no_proxy", "*");
        tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap().status.code()
    };
    assert_eq!(run(format!("curl -fsSL -o saved '{url}'")).await, Some(22));
    assert_eq!(run(format!("wget -q '{url}'")).await, Some(6), "wget: authentication failed");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(run(format!("curl -fsSL -O -u 'secret-read:{PASSWORD}' '{url}'")).await, Some(0));
    assert_eq!(fs::read_to_string(dir.path().join("tool.bin")).unwrap(), BYTES);
    fs::remove_file(dir.path().join("tool.bin")).unwrap();
    // wget sends its password only after a challenge.
    assert_eq!(run(format!("wget -q --user=secret-read --password='{PASSWORD}' '{url}'")).await, Some(0));
    assert_eq!(fs::read_to_string(dir.path().join("tool.bin")).unwrap(), BYTES);
    site.db_execute("UPDATE owners SET visibility = 0 WHERE name = 'secret'");
    fs::remove_file(dir.path().join("tool.bin")).unwrap();
    assert_eq!(run(format!("wget -q '{url}'")).await, Some(0));
    assert_eq!(fs::read_to_string(dir.path().join("tool.bin")).unwrap(), BYTES);
}

#[tokio::test]
async fn a_file_named_like_the_page_that_deletes_files_has_a_link_that_works() {
    let (site, link) = settle("delete").await;
    let mut member = site.browser_of("secret-owner").await;
    assert_eq!(member.go(&link).await.is(200).text(), BYTES);
    assert_eq!(site.admin().get(&link).await.is(200).text(), BYTES);
    member.go(&format!("{link}/delete")).await.is(200);
    assert!(member.one("h1").starts_with("Delete"), "{}", member.one("h1"));
}

#[tokio::test]
async fn every_page_that_needs_a_session_refuses_programs_instead_of_leading_to_sign_in() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "secret", Visibility::Private)?;
        db_user(conn, "limited", Visibility::Limited, false)
    });
    site.admin().publish(&path(&["secret", "tool", "1.0", "f"]), "x").await;
    for (method, page) in [
        ("GET", "/secret"),
        ("GET", "/limited"),
        ("GET", "/nobody"),
        ("GET", "/secret/-/packages/generic/tool"),
        ("GET", "/secret/-/packages/generic/tool/1.0"),
        ("GET", "/secret/-/packages/generic/tool/versions"),
        ("GET", "/-/admin/audit/export"),
        ("GET", "/user/settings"),
        ("GET", "/ada/-/upload"),
        ("POST", "/ada/-/upload"),
        ("POST", "/org/create"),
        ("POST", "/secret/-/packages/generic/tool/1.0/delete"),
    ] {
        for client in [site.anon(), site.admin()] {
            let request = client.request(method, page).header("accept", "*/*");
            let refused = if method == "POST" { request.body("x=y").await } else { request.await }.is(401);
            assert_eq!(
                refused.text(),
                "this page needs a browser that is signed in: programs use the addresses below \
                                        /api, with an access token\n",
                "{method} {page}"
            );
            assert!(refused.header("www-authenticate").is_some() && refused.header("location").is_none());
        }
        let json = site.anon().request(method, page).json().await.is(401).json();
        assert_eq!(json["code"], "unauthenticated");
    }
    let missing = ask(site.address, "GET", "/ada/-/packages/generic/nothing", &[]).await.is(404);
    assert_eq!(missing.text(), "package not found\n");
    site.assert_public_pages_are_pages().await;
}

impl Site {
    /// Programs get a page that everybody may see, as before.
    async fn assert_public_pages_are_pages(&self) {
        for page in ["/", "/explore/owners", "/ada", "/login", "/docs/"] {
            let answer = self.anon().get(page).await.is(200);
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{page}");
        }
    }
}
