//! The visibility of single packages: a package that someone may not see looks like one that does not exist, and a
//! private owner with a public package shows that package and nothing else.

use crate::support::people::{db_org, db_user};
use crate::support::{Client, Site, path};
use packhouse::auth::policy::AcceptedCredentials;
use packhouse::domain::role::Visibility;
use packhouse::routes::table;
use serde_json::json;

/// A public user and a private organization, each with a package for everybody, called `shown`, and one that is hidden.
/// All names have the same length, so that answers do too.
async fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "vault", Visibility::Private)?;
        db_org(conn, "empty", Visibility::Private)?;
        db_user(conn, "reader", Visibility::Public, false)
    });
    for (owner, package) in [("ada", "shown"), ("ada", "cloak"), ("vault", "shown"), ("vault", "cloak")] {
        site.ada().publish(&path(&[owner, package, "1.0", "file"]), "hello").await;
    }
    set(&site, "ada", "cloak", 2);
    set(&site, "vault", "shown", 0);
    site
}

fn set(site: &Site, owner: &str, package: &str, visibility: i16) {
    site.db_execute(&format!(
        "UPDATE packages SET visibility = {visibility} FROM owners o WHERE o.id = packages.owner_id \
         AND o.name = '{owner}' AND packages.name = '{package}'"
    ));
}

fn strangers(site: &Site) -> Vec<(&'static str, Client)> {
    vec![
        ("anonymous", site.anon()),
        ("stranger", site.stranger()),
        ("with all", site.anon().bearer(&site.db_token("reader", &["all"]))),
        ("public only", site.anon().bearer(&site.db_token("reader", &["all", "public-only"]))),
    ]
}

/// Every address below a package in the table of routes, and the ones that are computed.
fn addresses(owner: &str, package: &str) -> Vec<(String, String)> {
    let fill = |path: &str| {
        let names = [("{owner}", owner), ("{name}", package), ("{version}", "1.0"), ("{file}", "file"), ("{id}", "1")];
        names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
    };
    let rows = table();
    let all = rows.iter().filter(|row| row.path.contains("{owner}") && row.path.contains("{name}"));
    let mut found: Vec<(String, String)> = all
        .filter(|row| row.policy.credentials != AcceptedCredentials::Session || row.method == "GET")
        .filter(|row| !row.path.contains("/-/link/") && !row.path.ends_with("/-/unlink"))
        .map(|row| (row.method.to_string(), fill(row.path)))
        .collect();
    let base = format!("/api/packages/{owner}/generic/{package}");
    for end in ["1.0/file.sha256", "1.0/file.md5", "1.0/SHA256SUMS", "1.0/SHA512SUMS", "latest/file", "1.0/gone", "9.9"]
    {
        found.push(("GET".to_owned(), format!("{base}/{end}")));
    }
    found.push(("HEAD".to_owned(), format!("{base}/1.0/file")));
    found
}

async fn text(client: &Client, path: &str) -> String {
    client.get(path).await.is(200).text().to_owned()
}

/// How an answer looks, without the form token of the visit, which is another each time.
async fn looks(request: crate::support::Request) -> (u16, String, String) {
    let (status, head, text) = request.await.looks();
    let head = head.lines().filter(|line| !line.starts_with("set-cookie: ")).collect::<Vec<_>>().join("\n");
    let text = match text.split_once("name=\"csrf\" value=\"") {
        Some((_, rest)) => text.replace(rest.split('"').next().unwrap(), "TOKEN"),
        None => text.clone(),
    };
    (status, head, text)
}

#[tokio::test]
async fn a_hidden_package_looks_like_an_absent_one_at_every_address() {
    let site = settle().await;
    for (who, client) in strangers(&site) {
        for owner in ["ada", "vault"] {
            let absent = addresses(owner, "never");
            for ((method, hidden), (_, absent)) in addresses(owner, "cloak").iter().zip(&absent) {
                if method == "PUT" {
                    continue;
                }
                for accept in ["*/*", "application/json", "text/html"] {
                    let ask = |path: &str| client.request(method, path).header("accept", accept);
                    let (hidden_status, hidden_head, hidden_text) = looks(ask(hidden)).await;
                    let (absent_status, absent_head, absent_text) = looks(ask(absent)).await;
                    let what = format!("{method} {hidden} by {who} accepting {accept}");
                    assert!(!(200..300).contains(&hidden_status), "{what}: {hidden_status} {hidden_text}");
                    assert_eq!(hidden_status, absent_status, "{what}: {hidden_text}");
                    assert_eq!(hidden_head.replace("cloak", "never"), absent_head, "{what}");
                    assert_eq!(hidden_text.replace("cloak", "never"), absent_text, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_public_package_of_a_private_owner_is_found_at_every_address() {
    let site = settle().await;
    let page = "/vault/-/packages/generic/shown/1.0";
    for (who, client) in strangers(&site) {
        client.get(&path(&["vault", "shown", "1.0", "file"])).await.is(200).says("hello");
        client.get(&path(&["vault", "shown", "1.0", "SHA256SUMS"])).await.is(200);
        client.get(&path(&["vault", "shown", "1.0"])).await.is(200).says("file");
        client.get(&path(&["vault", "shown", "latest", "file"])).await.is(302);
        client.get("/api/v1/packages/vault/generic/shown/-/latest").await.is(200);
        assert_eq!(text(&client, &path(&["vault"])).await, "shown\n", "{who}");
        let list = client.get("/api/v1/packages/vault").await.is(200);
        assert_eq!(list.header("x-total-count"), Some("1"), "{who}");
    }
    site.anon().get("/vault").await.is(200);
    site.anon().get(page).await.is(200);
    let answer = site.anon().get(&path(&["vault", "shown", "1.0", "file"])).await;
    assert!(answer.header("cache-control").unwrap().starts_with("public"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_stranger_sees_nothing_else_of_a_private_owner() {
    let site = settle().await;
    site.db_execute("UPDATE owners SET full_name = 'Secret Name', description = 'secret words' WHERE name = 'vault'");
    for (who, client) in strangers(&site) {
        for address in [
            "/vault",
            "/vault/-/packages/generic/shown/1.0",
            "/vault/-/packages/generic/shown/versions",
            "/api/v1/packages/vault",
            "/api/v1/packages/vault/generic/shown",
            "/api/v1/packages/vault/generic/shown/1.0",
            "/api/v1/packages/search?q=shown",
            "/explore/packages?q=shown",
            "/explore/owners",
            "/api/packages/vault/generic",
        ] {
            let text = text(&client, address).await;
            for secret in ["Secret", "secret", "cloak"] {
                assert!(!text.contains(secret), "{address} by {who} tells {secret}: {text}");
            }
            // ada published it, which only members may know.
            if address.contains("vault") {
                let tells = [">ada<", "\"ada\"", "/ada"].iter().any(|name| text.contains(name));
                assert!(!tells, "{address} by {who} tells the publisher: {text}");
            }
        }
        // The owner as such is absent, as before.
        let unknown = |path: &str| path.replace("vault", "nobox");
        for address in [
            "/api/v1/orgs/vault",
            "/api/v1/orgs/vault/members",
            "/api/v1/orgs/vault/teams",
            "/api/v1/orgs/vault/quota",
            "/org/vault/teams",
            "/org/vault/members",
            "/org/vault/settings",
        ] {
            let (status, _, text) = looks(client.get(address)).await;
            let (absent, _, other) = looks(client.get(&unknown(address))).await;
            assert_eq!((status, text.replace("vault", "nobox")), (absent, other), "{address} by {who}");
            // 403 for a token without the scope for organizations.
            assert!([401, 403, 404, 303].contains(&status), "{address} by {who}: {status}");
        }
    }
}

#[tokio::test]
async fn hidden_packages_are_in_no_list_count_or_search() {
    let site = settle().await;
    for (who, client) in strangers(&site) {
        for owner in ["ada", "vault"] {
            assert_eq!(text(&client, &path(&[owner])).await, "shown\n", "{owner} by {who}");
            for sort in ["updated", "name", "size", "downloads"] {
                let page = text(&site.anon(), &format!("/{owner}?sort={sort}")).await;
                assert!(!page.contains("cloak"), "{owner} sorted by {sort}");
            }
            let found = client.get(&format!("/api/v1/packages/{owner}?q=cloak")).await.is(200);
            assert_eq!((found.text().trim(), found.header("x-total-count")), ("[]", Some("0")), "{who}");
            let found = client.get(&format!("/api/v1/packages/search?q=cloak&owner={owner}")).await.is(200);
            assert_eq!(found.header("x-total-count"), Some("0"), "{who}");
        }
        let found = client.get("/api/v1/packages/search").await.is(200);
        assert_eq!(found.header("x-total-count"), Some("2"), "{who}");
        assert!(!client.get("/").await.text().contains("cloak"), "{who}");
    }
    // The count of packages on the page of all owners.
    let page = text(&site.anon(), "/explore/owners?q=ada").await;
    assert!(page.contains("1 package") && !page.contains("2 packages"), "{page}");
    // Whoever belongs to the owner sees all of it.
    assert_eq!(text(&site.ada(), &path(&["ada"])).await, "shown\ncloak\n");
    let member = site.anon().bearer(&site.db_token("vault-read", &["read:package"]));
    assert_eq!(text(&member, &path(&["vault"])).await, "shown\ncloak\n");
    member.get(&path(&["vault", "cloak", "1.0", "file"])).await.is(200);
    site.admin().get(&path(&["ada", "cloak", "1.0", "file"])).await.is(200);
}

#[tokio::test]
async fn an_old_name_of_a_private_owner_leads_on_only_for_what_is_seen() {
    let site = settle().await;
    site.admin().post("/api/v1/orgs/vault/rename", &json!({"new_name": "store"})).await.is(204);
    site.admin().post("/api/v1/orgs/empty/rename", &json!({"new_name": "bare1"})).await.is(204);
    for (who, client) in strangers(&site) {
        let moved = client.get(&path(&["vault", "shown", "1.0", "file"])).await.is(307);
        assert!(moved.header("location").unwrap().contains("/store/"), "{who}");
        let hidden = client.get(&path(&["vault", "cloak", "1.0", "file"])).await;
        let absent = client.get(&path(&["vault", "never", "1.0", "file"])).await;
        let at = |answer: &crate::support::Answer| answer.header("location").unwrap().replace("never", "cloak");
        assert_eq!((hidden.status, at(&hidden)), (absent.status, at(&absent)), "{who}");
        // An owner without anything public is as absent under its old name as under its new one.
        let old = client.get(&path(&["empty", "shown", "1.0", "file"])).await.looks();
        assert_eq!(old, client.get(&path(&["nobox", "shown", "1.0", "file"])).await.looks(), "{who}");
    }
}

#[tokio::test]
async fn a_public_only_token_is_limited_to_what_is_visible_to_everybody() {
    let site = settle().await;
    let limited = site.anon().bearer(&site.db_token("ada", &["write:package", "public-only"]));
    let cloak = path(&["ada", "cloak", "1.0", "file"]);
    limited.get(&cloak).await.is(403).says("public-only");
    limited.get(&path(&["ada", "cloak"])).await.is(403);
    limited.put(&path(&["ada", "cloak", "2.0", "file"]), "more").await.is(403);
    limited.delete(&cloak).await.is(403);
    limited.get(&path(&["ada", "shown", "1.0", "file"])).await.is(200);
    limited.put(&path(&["ada", "shown", "2.0", "file"]), "more").await.is(201);
    limited.get(&path(&["vault", "shown", "1.0", "file"])).await.is(200);
    limited.put(&path(&["vault", "shown", "2.0", "file"]), "more").await.is(201);
    limited.put(&path(&["vault", "other", "2.0", "file"]), "more").await.is(403);
    assert_eq!(text(&limited, &path(&["ada"])).await, "shown\n");
    assert_eq!(text(&limited, &path(&["vault"])).await, "shown\n");
    limited.get(&path(&["empty"])).await.is(403);
}

#[tokio::test]
async fn a_limited_package_is_seen_by_everybody_who_is_signed_in() {
    let site = settle().await;
    set(&site, "ada", "cloak", 1);
    set(&site, "vault", "cloak", 1);
    for owner in ["ada", "vault"] {
        let file = path(&[owner, "cloak", "1.0", "file"]);
        site.anon().get(&file).await.is(404);
        let answer = site.stranger().get(&file).await.is(200);
        assert!(answer.header("cache-control").unwrap().starts_with("private"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(text(&site.stranger(), &path(&[owner])).await, "shown\ncloak\n");
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_visibility_form_offers_and_accepts_what_its_user_may_set() {
    let site = settle().await;
    let settings = |owner: &str| format!("/{owner}/-/packages/settings/generic/cloak");
    let mut writer = site.browser_of("vault-write").await;
    writer.go(&settings("vault")).await.is(200);
    assert!(writer.all("input[name=visibility]").is_empty(), "a writer cannot change it");
    let mut admin = site.browser_of("vault-admin").await;
    admin.go(&settings("vault")).await.is(200);
    let values = admin.attrs("input[name=visibility]", "value");
    assert_eq!(values, ["inherit", "private"], "an administrator of packages cannot make it wider than its owner");
    let form = format!("form[action='{}/visibility']", settings("vault"));
    admin.submit(&form, &[("visibility", "public")]).await.is(403);
    admin.go(&settings("vault")).await;
    admin.submit(&form, &[("visibility", "private")]).await.is(303);
    let mut owner = site.browser_of("vault-owner").await;
    owner.go(&settings("vault")).await.is(200);
    owner.submit(&form, &[("visibility", "public")]).await.is(303);
    site.anon().get(&path(&["vault", "cloak", "1.0", "file"])).await.is(200);
    owner.go(&settings("vault")).await;
    owner.submit(&form, &[("visibility", "inherit")]).await.is(303);
    site.anon().get(&path(&["vault", "cloak", "1.0", "file"])).await.is(404);
    let log = site.db_audit();
    insta::assert_snapshot!(log[log.len() - 2..].join("\n"), @r"
    package.visibility by vault-owner with session from 127.0.0.1 on vault cloak
    package.visibility by vault-owner with session from 127.0.0.1 on vault cloak
    ");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn an_owner_that_becomes_private_closes_its_packages() {
    let site = settle().await;
    set(&site, "ada", "shown", 0);
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.ada().publish(&path(&["acme", "tool", "1.0", "file"]), "hello").await;
    set(&site, "acme", "tool", 0);
    site.admin().patch("/api/v1/orgs/acme", &json!({"visibility": "private"})).await.is(200);
    site.anon().get(&path(&["acme", "tool", "1.0", "file"])).await.is(401);
    set(&site, "acme", "tool", 0);
    site.admin().patch("/api/v1/orgs/acme", &json!({"visibility": "private", "description": "x"})).await.is(200);
    site.anon().get(&path(&["acme", "tool", "1.0", "file"])).await.is(200);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn deleting_the_only_public_package_hides_its_private_owner() {
    let site = settle().await;
    site.anon().get("/vault").await.is(200);
    site.ada().delete(&path(&["vault", "shown", "1.0"])).await.is(204);
    site.anon().get(&path(&["vault"])).await.is(401);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn feeds_archives_and_channels_show_what_their_reader_may_see() {
    let site = settle().await;
    site.db_execute(
        "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updated_at, revision) \
         SELECT id, 'beta', 'beta', '1.0', '1.0', now(), 1 FROM packages",
    );
    for (who, client) in strangers(&site) {
        if who == "anonymous" {
            let all = text(&client, "/explore/packages.atom").await;
            assert!(all.contains("/ada/") && all.contains("/vault/") && !all.contains("cloak"), "{all}");
            for owner in ["ada", "vault"] {
                let feed = text(&client, &format!("/{owner}/-/packages.atom")).await;
                assert!(feed.contains("shown 1.0") && !feed.contains("cloak"), "{feed}");
                assert_eq!(feed.contains("<name>ada</name>"), owner == "ada", "{feed}");
                client.get(&format!("/{owner}/-/packages/generic/shown/versions.atom")).await.is(200);
                let hidden = client.get(&format!("/{owner}/-/packages/generic/cloak/versions.atom")).await;
                assert_ne!(hidden.status, 200, "{owner}");
            }
        }
        for owner in ["ada", "vault"] {
            let api = |package: &str, rest: &str| format!("/api/v1/packages/{owner}/generic/{package}/{rest}");
            for rest in ["1.0/archive.zip", "-/channels", "-/channels/beta"] {
                client.get(&api("shown", rest)).await.is(200);
                let status = client.get(&api("cloak", rest)).await.status;
                assert_ne!(status, 200, "{owner} {rest} by {who}");
            }
            client.get(&path(&[owner, "shown", "@beta", "file"])).await.is(302);
            let hidden = client.get(&path(&[owner, "cloak", "@beta", "file"])).await;
            assert_ne!(hidden.status, 302, "{owner} by {who}");
        }
    }
    // An archive of a private package of a public owner is not for shared caches.
    let own = site.ci().get("/api/v1/packages/ada/generic/cloak/1.0/archive.zip").await.is(200);
    assert!(!own.header("cache-control").unwrap_or_default().contains("public"), "{own:?}");
}

#[tokio::test]
async fn a_package_comes_back_from_the_trash_no_wider_than_its_owner() {
    let site = settle().await;
    let owner = site.anon().bearer(&site.db_token("vault-owner", &["write:package", "write:organization"]));
    let trash = "/api/v1/packages/vault/-/trash";
    let (shown, cloak) = ("/api/v1/packages/vault/generic/shown", "/api/v1/packages/vault/generic/cloak");
    set(&site, "vault", "cloak", 2);
    owner.patch("/api/v1/orgs/vault", &json!({"visibility": "public"})).await.is(200);
    for package in [shown, cloak] {
        owner.delete(package).await.is(204);
    }
    owner.patch("/api/v1/orgs/vault", &json!({"visibility": "private"})).await.is(200);
    for entry in owner.get(trash).await.is(200).json().as_array().unwrap() {
        owner.post(&format!("{trash}/{}/restore", entry["id"]), &json!({})).await.is(200);
    }
    for package in ["shown", "cloak"] {
        owner.get(&path(&["vault", package, "1.0", "file"])).await.is(200);
        site.stranger().get(&path(&["vault", package, "1.0", "file"])).await.is(404);
    }
    // What is narrower than the owner stays so.
    owner.patch("/api/v1/orgs/vault", &json!({"visibility": "public"})).await.is(200);
    site.anon().get(&path(&["vault", "shown", "1.0", "file"])).await.is(200);
    site.stranger().get(&path(&["vault", "cloak", "1.0", "file"])).await.is(404);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_limited_token_is_refused_where_hidden_packages_count_too() {
    let site = settle().await;
    site.db(|conn| db_org(conn, "guild", Visibility::Public));
    site.ada().delete(&path(&["ada", "cloak", "1.0", "file"])).await.is(204);
    let public = site.anon().bearer(&site.db_token("ada", &["all", "public-only"]));
    let some = site.db_limited_token("ada", &["all"], |new| new.packages = Some(vec!["shown".parse().unwrap()]));
    let some = site.anon().bearer(&some);
    let packages = "/api/v1/packages/ada/-";
    let rule = json!({"name": "all", "packages": ["cloak"], "delete_older_than_days": 0});
    let hook = json!({"type": "gitea", "config": {"url": "https://ci.example.org/", "content_type": "json"}});
    let grant = json!({"user": "stranger", "pattern": "cloak", "permission": "write"});
    for (limited, why) in [(&public, "public-only"), (&some, "limited to some packages")] {
        limited.post(&format!("{packages}/retention"), &rule).await.is(403).says(why);
        limited.post(&format!("{packages}/retention/preview"), &json!({"rules": [rule]})).await.is(403).says(why);
        limited.post(&format!("{packages}/grants"), &grant).await.is(403).says(why);
        limited.get(&format!("{packages}/protections")).await.is(403).says(why);
        limited.post("/api/v1/user/hooks", &hook).await.is(403).says(why);
        limited.get("/api/v1/user/hooks").await.is(403).says(why);
    }
    let why = "limited to some packages";
    some.post("/api/v1/orgs/guild/teams", &json!({"name": "spies", "permission": "read"})).await.is(403).says(why);
    some.post("/api/v1/orgs/guild/robots", &json!({"name": "spy"})).await.is(403).says(why);
    some.patch("/api/v1/orgs/guild", &json!({"visibility": "public"})).await.is(403).says(why);
    some.delete("/api/v1/orgs/guild").await.is(403).says(why);
    public.get(&format!("{packages}/trash")).await.is(403).says("public-only");
    assert_eq!(some.get(&format!("{packages}/trash")).await.is(200).json(), json!([]));
    let entry = site.ada().get(&format!("{packages}/trash")).await.is(200).json()[0]["id"].to_string();
    public.post(&format!("{packages}/trash/{entry}/restore"), &json!({})).await.is(403).says("public-only");
    let hidden = some.post(&format!("{packages}/trash/{entry}/restore"), &json!({})).await.is(404);
    let absent = some.post(&format!("{packages}/trash/99999/restore"), &json!({})).await.is(404);
    assert_eq!(hidden.looks(), absent.looks(), "what the list leaves out is absent");
}
