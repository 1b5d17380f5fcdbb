//! Users in the REST API: read, search, edit, rename, delete.

use crate::support::people::{db_org, db_user};
use crate::support::{Answer, PASSWORD, Plan, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};
use std::time::Duration;

fn admin_of(user: &str) -> String {
    format!("/api/v1/admin/users/{user}")
}

/// The names in a list, or in the answer to a search.
pub fn names(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let list = json.get("data").unwrap_or(&json).as_array().unwrap().clone();
    let name = |one: &Value| one.get("login").or_else(|| one.get("name")).unwrap().as_str().unwrap().to_owned();
    list.iter().map(name).collect()
}

/// The audit log of the changes made over the API.
pub fn records(site: &Site) -> Vec<String> {
    site.db_audit().into_iter().filter(|line| !line.contains(" from nowhere ")).collect()
}

fn total(answer: &Answer) -> Option<&str> {
    answer.header("x-total-count")
}

#[tokio::test]
async fn users_see_their_whole_profile_and_others_only_the_public_part() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    let said = json!({"full_name": "Ada Lovelace", "website": "https://example.org/ada", "location": "London",
        "description": "Engines"});
    site.admin().patch(&admin_of("ada"), &said).await.is(200);
    let own = site.anon().bearer(&site.db_token("ada", &["read:user"])).get("/api/v1/users/ADA").await.is(200);
    // The order of the fields is part of the format.
    insta::assert_snapshot!(own.text().replace(",\"", ",\n\""), @r#"
    {"id":2,
    "login":"ada",
    "username":"ada",
    "full_name":"Ada Lovelace",
    "email":"ada@example.org",
    "avatar_url":"",
    "html_url":"https://packages.example.org/ada",
    "is_admin":false,
    "active":true,
    "prohibit_login":false,
    "visibility":"public",
    "created":"2026-01-02T03:04:05Z",
    "last_login":null,
    "location":"London",
    "website":"https://example.org/ada",
    "description":"Engines"}
    "#);
    assert_eq!(site.anon().bearer(&site.db_token("ada", &["read:user"])).get("/api/v1/user").await.text(), own.text());
    assert_eq!(site.admin().get("/api/v1/users/ada").await.text(), own.text());
    let seen = site.anon().get("/api/v1/users/ada").await.is(200);
    insta::assert_snapshot!(seen.text().replace(",\"", ",\n\""), @r#"
    {"id":2,
    "login":"ada",
    "username":"ada",
    "full_name":"Ada Lovelace",
    "email":"",
    "avatar_url":"",
    "html_url":"https://packages.example.org/ada",
    "is_admin":false,
    "active":false,
    "prohibit_login":false,
    "visibility":"public",
    "created":"2026-01-02T03:04:05Z",
    "last_login":null,
    "location":"London",
    "website":"https://example.org/ada",
    "description":"Engines"}
    "#);
    let stranger = site.anon().bearer(&site.db_token("stranger", &["read:user"]));
    assert_eq!(stranger.get("/api/v1/users/ada").await.text(), seen.text());
    let head = site.anon().head("/api/v1/users/ada").await.is(200);
    assert_eq!((head.header("content-type"), head.body.len()), (Some("application/json"), 0));
}

#[tokio::test]
async fn a_private_user_looks_like_one_who_does_not_exist() {
    let site = Site::new();
    site.db(|conn| {
        db_user(conn, "shade", Visibility::Private, false)?;
        db_user(conn, "insider", Visibility::Limited, false)?;
        db_org(conn, "acme", Visibility::Public)
    });
    let stranger = site.anon().bearer(&site.db_token("stranger", &["all"]));
    for rest in ["", "/orgs"] {
        let get = |name: &str| format!("/api/v1/users/{name}{rest}");
        let nobody = stranger.get(&get("nobody")).await.is(404).says("user not found");
        assert_eq!(stranger.get(&get("shade")).await.looks(), nobody.looks());
        assert_eq!(stranger.get(&get("acme")).await.looks(), nobody.looks(), "an organization is not a user");
        assert_eq!(stranger.get(&get("a%00")).await.looks(), nobody.looks());
        let nobody = site.anon().get(&get("nobody")).await.is(401);
        for name in ["shade", "insider", "acme", "a%00"] {
            assert_eq!(site.anon().get(&get(name)).await.looks(), nobody.looks(), "{name}{rest}");
        }
        stranger.get(&get("insider")).await.is(200);
        site.admin().get(&get("shade")).await.is(200);
    }
    site.anon().bearer(&site.db_token("shade", &["read:user"])).get("/api/v1/users/shade").await.is(200);
}

#[tokio::test]
async fn user_search_matches_part_of_a_name_and_finds_visible_users_only() {
    let site = Site::new();
    site.db(|conn| {
        for (name, visibility) in [
            ("Adam", Visibility::Public),
            ("shadam", Visibility::Private),
            ("madam", Visibility::Limited),
            ("per.cent", Visibility::Public),
        ] {
            db_user(conn, name, visibility, false)?;
        }
        db_org(conn, "acme", Visibility::Public)
    });
    site.db_execute("UPDATE owners SET name = 'adams', lower_name = 'adams' WHERE name = 'acme'");
    site.db_execute("UPDATE owners SET full_name = '100% Sham_Name' WHERE name = 'per.cent'");
    let search = |query: &str| format!("/api/v1/users/search?{query}");
    let found = site.anon().get(&search("q=ADA")).await.is(200);
    assert_eq!(names(&found), ["ada", "Adam"]);
    assert_eq!(total(&found), Some("2"));
    assert!(
        found.text().starts_with(r#"{"data":[{"id":2,"login":"ada","#) && found.text().ends_with(r#"],"ok":true}"#)
    );
    let stranger = site.anon().bearer(&site.db_token("stranger", &["read:user"]));
    assert_eq!(names(&stranger.get(&search("q=dam")).await), ["Adam", "madam"]);
    assert_eq!(names(&site.admin().get(&search("q=dam")).await), ["Adam", "madam", "shadam"]);
    // Special characters are literal, and full names are searched too.
    for (q, found) in
        [("%25", true), ("m_n", true), ("0_", false), ("%25%25", false), ("sham_name", true), ("a%00", false)]
    {
        let wanted: &[&str] = if found { &["per.cent"] } else { &[] };
        assert_eq!(names(&site.anon().get(&search(&format!("q={q}"))).await.is(200)), wanted, "{q}");
    }
    // Only administrators see and search email addresses.
    assert_eq!(names(&stranger.get(&search("q=ada@example")).await), [""; 0]);
    assert_eq!(names(&site.admin().get(&search("q=ada@example")).await), ["ada"]);
    assert_eq!(names(&site.anon().get(&search("uid=2")).await), ["ada"]);
    assert_eq!(names(&site.anon().get(&search("uid=0&q=ada&limit=1")).await), ["ada"]);
    assert_eq!(names(&site.anon().get(&search("uid=2&q=stranger")).await), [""; 0]);
    site.anon().get(&search("uid=two")).await.is(422).says("uid");
    let shade = site.db_number("SELECT id AS n FROM owners WHERE name = 'shadam'");
    assert_eq!(names(&stranger.get(&search(&format!("uid={shade}"))).await), [""; 0]);
    let public = site.anon().bearer(&site.db_token("stranger", &["read:user", "public-only"]));
    assert_eq!(names(&public.get(&search("q=dam")).await), ["Adam"]);
    let limited = site.db_limited_token("stranger", &["read:user"], |new| {
        new.owners = Some(vec!["ada".parse().unwrap()]);
    });
    assert_eq!(names(&site.anon().bearer(&limited).get(&search("")).await), ["ada"]);
}

#[tokio::test]
async fn user_lists_come_in_pages() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    let page = site.anon().get("/api/v1/users/search?q=a&limit=2").await.is(200);
    assert_eq!(names(&page), ["ada", "admin"]);
    insta::assert_snapshot!(page.header("link").unwrap(), @r#"<https://packages.example.org/api/v1/users/search?q=a&page=2&limit=2>; rel="next", <https://packages.example.org/api/v1/users/search?q=a&page=2&limit=2>; rel="last""#);
    let last = site.anon().get("/api/v1/users/search?q=a&limit=2&page=2").await.is(200);
    assert_eq!((names(&last), total(&last)), (vec!["stranger".to_owned()], Some("3")));
    let beyond = site.admin().get("/api/v1/admin/users?page=9").await.is(200);
    assert_eq!((beyond.text(), total(&beyond)), ("[]", Some("3")));
    let sorted = |sort: &str| format!("/api/v1/admin/users?limit=2&source_id=7&login_name=x&sort={sort}");
    for (sort, wanted) in [
        ("", ["ada", "admin"]),
        ("alphabetically", ["ada", "admin"]),
        ("reversealphabetically", ["stranger", "admin"]),
        ("oldest", ["admin", "ada"]),
        ("newest", ["stranger", "ada"]),
    ] {
        let page = site.admin().get(&sorted(sort)).await.is(200);
        assert_eq!((names(&page), total(&page)), (wanted.map(str::to_owned).to_vec(), Some("3")), "{sort}");
    }
    site.admin().get(&sorted("sideways")).await.is(422).says("alphabetically");
    assert_eq!(site.admin().get("/api/v1/admin/users").await.json()[0]["email"], "ada@example.org");
    let head = site.admin().head("/api/v1/admin/users").await.is(200);
    assert_eq!((total(&head), head.body.len()), (Some("3"), 0));
    site.ada().get("/api/v1/admin/users").await.is(403).says("site administrator");
}

#[tokio::test]
async fn an_administrator_edits_a_user_with_one_audit_entry() {
    let site = Site::new();
    let all = json!({
        "login_name": "ada", "source_id": 0, "email": "Countess@Example.org", "full_name": "Ada",
        "password": "another horse and battery", "must_change_password": false, "website": "https://example.org",
        "location": "London", "description": "a\nb", "active": true, "admin": true, "prohibit_login": false,
        "visibility": "limited", "restricted": true, "max_repo_creation": -1, "allow_git_hook": true,
        "allow_import_local": false, "allow_create_organization": true,
    });
    let changed = site.admin().patch(&admin_of("ADA"), &all).await.is(200);
    insta::assert_snapshot!(changed.text().replace(",\"", ",\n\""), @r#"
    {"id":2,
    "login":"ada",
    "username":"ada",
    "full_name":"Ada",
    "email":"Countess@Example.org",
    "avatar_url":"",
    "html_url":"/ada",
    "is_admin":true,
    "active":true,
    "prohibit_login":false,
    "visibility":"limited",
    "created":"2026-01-02T03:04:05Z",
    "last_login":null,
    "location":"London",
    "website":"https://example.org",
    "description":"a\nb"}
    "#);
    site.ada().get("/api/v1/user").await.is(401);
    let ada = site.anon().basic("countess@example.org", "another horse and battery");
    ada.get("/api/v1/admin/users").await.is(200);
    // A field that is missing, null, or a zero value (as Go clients send it) stays unchanged.
    for nothing in [json!({}), json!({"email": "", "password": "", "visibility": "", "full_name": null, "admin": null})]
    {
        let same = site.admin().patch(&admin_of("ada"), &nothing).await.is(200);
        assert_eq!(same.json()["full_name"], changed.json()["full_name"]);
        assert_eq!(same.json()["email"], changed.json()["email"]);
    }
    ada.get("/api/v1/admin/users").await.is(200);
    let emptied = json!({"full_name": "", "website": "", "location": "", "description": ""});
    let emptied = site.admin().patch(&admin_of("ada"), &emptied).await.is(200).json();
    assert_eq!((&emptied["full_name"], &emptied["website"]), (&json!(""), &json!("")));
    insta::assert_snapshot!(site.db_texts("SELECT event || ' ' || detail::text AS text FROM audit ORDER BY id").join("\n"), @r#"
    user.update {"changed": ["email", "password", "must_change_password", "is_admin", "is_active", "is_locked", "full_name", "description", "website", "location", "visibility"], "is_admin": true}
    user.update {"changed": []}
    user.update {"changed": []}
    user.update {"changed": ["full_name", "description", "website", "location"]}
    "#);
}

#[tokio::test]
async fn an_invalid_change_of_a_user_names_the_field_and_changes_nothing() {
    let site = Site::new();
    for (field, value) in [
        ("email", json!("nobody")),
        ("email", json!("STRANGER@example.org")),
        ("email", json!(7)),
        ("password", json!("short")),
        ("password", json!("ada@example.org")),
        ("website", json!("javascript:alert(1)")),
        ("location", json!("a\nb")),
        ("description", json!("\u{0}")),
        ("active", json!("yes")),
        ("visibility", json!("secret")),
        ("must_change_password", json!(1)),
    ] {
        let said = json!({"full_name": "changed", field: value});
        site.admin().patch(&admin_of("ada"), &said).await.is(422).says(field);
    }
    site.admin().patch(&admin_of("nobody"), &json!({})).await.is(404).says("user not found");
    assert_eq!(records(&site), [""; 0]);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE full_name <> ''"), 0);
    let ada = site.db_token("ada", &["all"]);
    site.anon().bearer(&ada).patch(&admin_of("ada"), &json!({"admin": true})).await.is(403).says("site administrator");
    let public = site.anon().bearer(&site.db_token("admin", &["all", "public-only"]));
    public.patch(&admin_of("ada"), &json!({"visibility": "private"})).await.is(403).says("public-only");
    let limited = site.db_limited_token("admin", &["all"], |new| new.owners = Some(vec!["stranger".parse().unwrap()]));
    let limited = site.anon().bearer(&limited);
    limited.patch(&admin_of("ada"), &json!({})).await.is(403).says("limited to owners other than");
    limited.delete(&admin_of("ada")).await.is(403);
    limited.post(&format!("{}/rename", admin_of("ada")), &json!({"new_username": "x"})).await.is(403);
    limited.patch(&admin_of("stranger"), &json!({})).await.is(200);
}

#[tokio::test]
async fn a_limited_token_cannot_create_a_user_outside_its_limits() {
    let site = Site::new();
    let new = |visibility: &str| json!({"username": "grace", "email": "grace@example.org", "password": PASSWORD, "visibility": visibility});
    let limited = site.db_limited_token("admin", &["all"], |new| new.owners = Some(vec!["admin".parse().unwrap()]));
    site.anon().bearer(&limited).post("/api/v1/admin/users", &new("")).await.is(403).says("limited to some owners");
    let public = site.anon().bearer(&site.db_token("admin", &["all", "public-only"]));
    for visibility in ["limited", "private"] {
        public.post("/api/v1/admin/users", &new(visibility)).await.is(403).says("public-only");
    }
    assert_eq!(records(&site), [""; 0]);
    public.post("/api/v1/admin/users", &new("public")).await.is(201);
}

#[tokio::test]
async fn locking_deactivating_demoting_or_new_password_ends_every_login() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "root2", Visibility::Public, true));
    let root = site.user("root2");
    root.get("/api/v1/user").await.is(200);
    let change = |said: Value| site.admin().patch("/api/v1/admin/users/root2", &said).into_future();
    for (off, on) in [
        (json!({"prohibit_login": true}), json!({"prohibit_login": false})),
        (json!({"active": false}), json!({"active": true})),
    ] {
        let token = site.anon().bearer(&site.db_token("root2", &["all"]));
        change(off).await.is(200);
        root.get("/api/v1/user").await.is(401);
        token.get("/api/v1/user").await.is(401);
        change(on).await.is(200);
        root.get("/api/v1/user").await.is(200);
        token.get("/api/v1/user").await.is(200);
    }
    let epoch =
        || site.db_number("SELECT auth_epoch::bigint AS n FROM users u JOIN owners o USING (id) WHERE name = 'root2'");
    let before = epoch();
    change(json!({"admin": false})).await.is(200);
    assert_eq!(epoch(), before + 1);
    root.get("/api/v1/admin/users").await.is(403);
    // Other changes end no login.
    change(json!({"admin": false, "active": true, "full_name": "Root", "email": "r@example.org"})).await.is(200);
    assert_eq!(epoch(), before + 1);
    change(json!({"password": "another horse and battery"})).await.is(200);
    root.get("/api/v1/user").await.is(401);
}

#[tokio::test]
async fn the_last_administrator_who_can_sign_in_cannot_be_removed() {
    let site = Site::new();
    let refused = async |said: Value| {
        site.admin().patch(&admin_of("admin"), &said).await.is(422).says("last administrator");
    };
    // An administrator who is locked or has no password can't sign in, so they don't count.
    site.db(|conn| {
        db_user(conn, "locked", Visibility::Public, true)?;
        db_user(conn, "machine", Visibility::Public, true)
    });
    site.db_execute("UPDATE users SET is_locked = true FROM owners o WHERE o.id = users.id AND o.name = 'locked'");
    site.db_execute("UPDATE users SET password_hash = NULL FROM owners o WHERE o.id = users.id AND o.name = 'machine'");
    refused(json!({"admin": false})).await;
    refused(json!({"active": false})).await;
    refused(json!({"prohibit_login": true})).await;
    let machine = site.anon().bearer(&site.db_token("machine", &["all"]));
    machine.delete(&admin_of("admin")).await.is(422).says("last administrator");
    machine.delete(&format!("{}?purge=true", admin_of("admin"))).await.is(422).says("last administrator");
    site.admin().delete(&admin_of("admin")).await.is(422).says("your own account");
    assert_eq!(records(&site), [""; 0]);
    site.admin().patch(&admin_of("locked"), &json!({"prohibit_login": false})).await.is(200);
    site.admin().patch(&admin_of("admin"), &json!({"admin": false})).await.is(200);
    site.admin().get("/api/v1/admin/users").await.is(403);
}

#[tokio::test]
async fn one_administrator_remains_if_two_demote_each_other_at_once() {
    let site = Site::start(Plan { real_time: true, ..Plan::default() });
    site.db(|conn| db_user(conn, "other", Visibility::Public, true));
    let (admin, other) = (site.admin(), site.anon().bearer(&site.db_token("other", &["all"])));
    for round in 0..10 {
        let said =
            [json!({"admin": false}), json!({"prohibit_login": true}), json!({"active": false})][round % 3].clone();
        let (path_one, path_other) = (admin_of("other"), admin_of("admin"));
        let (one, two) = tokio::join!(admin.patch(&path_one, &said).send(), other.patch(&path_other, &said).send());
        let statuses = [one.unwrap().status, two.unwrap().status];
        assert!(statuses.contains(&200) && statuses != [200, 200], "{statuses:?}");
        let able = "SELECT count(*) AS n FROM users WHERE is_admin AND is_active AND NOT is_locked";
        assert_eq!(site.db_number(able), 1);
        site.db_execute(
            "UPDATE users SET is_admin = true, is_active = true, is_locked = false FROM owners o \
             WHERE o.id = users.id AND o.name IN ('admin', 'other')",
        );
    }
}

#[tokio::test]
async fn an_old_user_name_redirects_until_someone_takes_it() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "bytes").await;
    let rename = async |from: &str, to: &str| {
        site.admin().post(&format!("{}/rename", admin_of(from)), &json!({"new_username": to})).await
    };
    assert!(rename("ada", "Countess").await.is(204).body.is_empty());
    let moved = site.anon().get("/api/packages/ADA/generic/tool/1/f?x=%20y").await.is(307);
    insta::assert_snapshot!(moved.shown(), @"
    307
    access-control-allow-origin: *
    access-control-expose-headers: Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Date, Deprecation, Digest, ETag, Link, Repr-Digest, Sunset, X-Checksum-Sha256, X-Packhouse-Yanked, X-Request-Id
    cache-control: no-store
    content-length: 0
    location: /api/packages/Countess/generic/tool/1/f?x=%20y
    ");
    let leads = async |from: &str, to: &str| {
        for method in ["GET", "HEAD"] {
            let answer = site.anon().request(method, from).await.is(307);
            assert_eq!(answer.header("location"), Some(to), "{method} {from}");
        }
    };
    leads("/api/packages/ada/generic/tool", "/api/packages/Countess/generic/tool").await;
    leads("/api/packages/ada/generic/ada/1", "/api/packages/Countess/generic/ada/1").await;
    leads("/api/packages/ada/generic/tool/latest/f", "/api/packages/Countess/generic/tool/latest/f").await;
    leads("/api/v1/users/ada", "/api/v1/users/Countess").await;
    leads("/api/v1/users/ada/orgs?limit=1", "/api/v1/users/Countess/orgs?limit=1").await;
    leads("/api/v1/packages/ada?q=a", "/api/v1/packages/Countess?q=a").await;
    leads("/api/v1/packages/ada/generic/tool/1/files", "/api/v1/packages/Countess/generic/tool/1/files").await;
    site.anon().get("/api/packages/countess/generic/tool/1/f").await.is(200);
    // Changes need the current name.
    let ci = site.ci();
    ci.put(&path(&["ada", "tool", "2", "f"]), "x").await.is(404).says("owner not found");
    ci.delete(&path(&["ada", "tool", "1"])).await.is(404).says("owner not found");
    site.anon().put(&path(&["ada", "tool", "2", "f"]), "x").await.is(401);
    site.admin().patch(&admin_of("ada"), &json!({})).await.is(404).says("user not found");
    site.user("ada").get("/api/v1/user").await.is(401);
    let countess = site.user("countess");
    countess.get("/api/v1/users/ada/tokens").await.is(307);
    countess.post("/api/v1/users/ada/tokens", &json!({"name": "t", "scopes": ["all"]})).await.is(404);
    // After two renames, and a rename back to the first name.
    rename("countess", "lovelace").await.is(204);
    leads("/api/v1/users/ada", "/api/v1/users/lovelace").await;
    leads("/api/v1/users/countess", "/api/v1/users/lovelace").await;
    rename("lovelace", "Ada").await.is(204);
    site.anon().get("/api/v1/users/ada").await.is(200);
    leads("/api/v1/users/lovelace", "/api/v1/users/Ada").await;
    // Once someone took an old name, it never redirects again.
    let taken = json!({"username": "Lovelace", "email": "l@example.org", "password": "a long enough password"});
    site.admin().post("/api/v1/admin/users", &taken).await.is(201);
    site.anon().get("/api/packages/lovelace/generic/tool").await.is(404);
    site.admin().delete(&admin_of("lovelace")).await.is(204);
    site.anon().get("/api/v1/users/lovelace").await.is(401);
    assert_eq!(site.db_texts("SELECT lower_name AS text FROM owner_redirects"), ["countess"]);
    insta::assert_snapshot!(
        site.db_texts("SELECT event || ' ' || subject || ' ' || detail AS text FROM audit WHERE event = 'user.rename' ORDER BY id").join("\n"),
        @r#"
        user.rename Countess {"from": "ada"}
        user.rename lovelace {"from": "Countess"}
        user.rename Ada {"from": "lovelace"}
        "#
    );
    // Old names are looked up even if they are words of the routes.
    rename("stranger", "generic").await.is(204);
    rename("generic", "special").await.is(204);
    leads("/api/packages/generic/generic/generic/1/%67eneric", "/api/packages/special/generic/generic/1/%67eneric")
        .await;
}

#[tokio::test]
async fn a_taken_reserved_or_invalid_user_name_is_refused() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let rename = |said: Value| site.admin().post(&format!("{}/rename", admin_of("ada")), &said).into_future();
    rename(json!({"new_username": "Stranger"})).await.is(422).says("user already exists");
    rename(json!({"new_username": "ACME"})).await.is(422).says("already exists");
    rename(json!({"new_username": "login"})).await.is(422).says("new_username").says("reserved");
    rename(json!({"new_username": "a b"})).await.is(422).says("new_username");
    rename(json!({"new_username": 7})).await.is(422).says("new_username");
    rename(json!({})).await.is(422).says("new_username");
    assert_eq!(records(&site), [""; 0]);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owner_redirects"), 0);
    // A change of case only isn't another name.
    rename(json!({"new_username": "ADA"})).await.is(204);
    assert_eq!(site.anon().get("/api/v1/users/ada").await.is(200).json()["login"], "ADA");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owner_redirects"), 0);
}

#[tokio::test]
async fn the_old_name_of_a_hidden_user_does_not_redirect() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "shade", Visibility::Private, false));
    let said = json!({"new_username": "shadow"});
    site.admin().post(&format!("{}/rename", admin_of("shade")), &said).await.is(204);
    let stranger = site.anon().bearer(&site.db_token("stranger", &["all"]));
    for client in [site.anon(), stranger] {
        for of in [|name: &str| path(&[name, "tool"]), |name: &str| format!("/api/v1/users/{name}")] {
            assert_eq!(client.get(&of("shade")).await.looks(), client.get(&of("nobody")).await.looks());
        }
    }
    site.anon().bearer(&site.db_token("shadow", &["all"])).get("/api/v1/users/shade").await.is(307);
    let limited = site.db_limited_token("admin", &["all"], |new| new.owners = Some(vec!["ada".parse().unwrap()]));
    site.anon().bearer(&limited).get("/api/v1/users/shade").await.is(403);
}

#[tokio::test]
async fn only_one_of_many_concurrent_users_gets_a_name() {
    let site = Site::start(Plan { real_time: true, ..Plan::default() });
    let admin = site.admin();
    for round in 0..6 {
        let name = format!("wanted{round}");
        let (ada, stranger) = (admin_of(&format!("ada{round}")), admin_of(&format!("stranger{round}")));
        for (id, name) in [(2, "ada"), (3, "stranger")] {
            let set = format!("UPDATE owners SET name = '{name}{round}', lower_name = '{name}{round}' WHERE id = {id}");
            site.db_execute(&set);
        }
        let said = json!({"new_username": name});
        let (first, second) = (format!("{ada}/rename"), format!("{stranger}/rename"));
        let org = json!({"username": name});
        let (one, two, three) = tokio::join!(
            admin.post(&first, &said).send(),
            admin.post(&second, &said).send(),
            admin.post("/api/v1/orgs", &org).send()
        );
        let statuses = [one.unwrap().status, two.unwrap().status, three.unwrap().status];
        assert_eq!(statuses.iter().filter(|status| **status != 422).count(), 1, "{statuses:?}");
    }
}

#[tokio::test]
async fn a_user_with_packages_or_a_last_owner_cannot_be_deleted() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "bytes").await;
    site.admin().delete(&admin_of("ada")).await.is(422).says("ada owns a package");
    site.ci().publish(&path(&["ada", "other", "1", "f"]), "bytes").await;
    site.admin().delete(&admin_of("ada")).await.is(422).says("ada owns 2 packages");
    for package in ["tool", "other"] {
        site.ci().delete(&path(&["ada", package, "1"])).await.is(204);
    }
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.db_execute("DELETE FROM team_members USING teams t WHERE t.id = team_id AND t.name = 'owner'");
    site.admin().delete(&admin_of("ada")).await.is(422).says("sole owner of acme");
    // Others use the organization too, so not even a purge deletes it.
    let purge = format!("{}?purge=true", admin_of("ada"));
    site.admin().delete(&purge).await.is(422).says("sole owner of acme").says("other members");
    site.admin().delete(&format!("{}?purge=perhaps", admin_of("ada"))).await.is(422).says("purge");
    site.admin().delete(&admin_of("acme")).await.is(404).says("user not found");
    site.admin().delete(&admin_of("nobody")).await.is(404).says("user not found");
    let owning = site.db_number("SELECT id AS n FROM teams WHERE name = 'Owners'");
    site.admin().put(&format!("/api/v1/teams/{owning}/members/stranger"), "").await.is(204);
    let token = site.anon().bearer(&site.db_token("ada", &["all"]));
    let before = records(&site).len();
    assert!(site.admin().delete(&admin_of("ADA")).await.is(204).body.is_empty());
    assert_eq!(records(&site).len(), before + 1);
    assert_eq!(records(&site).last().unwrap(), "user.delete by admin with token from 127.0.0.1 on ada ada");
    token.get("/api/v1/user").await.is(401);
    site.ada().get("/api/v1/user").await.is(401);
    site.admin().get("/api/v1/users/ada").await.is(404);
    site.admin().delete(&admin_of("ada")).await.is(404);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn purging_a_user_deletes_what_only_they_own_and_nothing_else() {
    let site = Site::new();
    let ada = site.anon().bearer(&site.db_token("ada", &["all"]));
    for org in ["solo", "shared"] {
        ada.post("/api/v1/orgs", &json!({"username": org})).await.is(201);
        ada.publish(&path(&[org, "tool", "1", "a"]), format!("of {org}")).await;
    }
    let owning = site.db_number(
        "SELECT t.id AS n FROM teams t JOIN owners o ON o.id = t.org_id WHERE o.name = 'shared' AND t.name = 'Owners'",
    );
    ada.put(&format!("/api/v1/teams/{owning}/members/stranger"), "").await.is(204);
    for (version, bytes) in [("1", "only ada's"), ("2", "of shared")] {
        ada.publish(&path(&["ada", "tool", version, "f"]), bytes).await;
    }
    let before = records(&site).len();
    let limited = site.db_limited_token("admin", &["all"], |new| new.owners = Some(vec!["ada".parse().unwrap()]));
    let purge = format!("{}?purge=true", admin_of("ada"));
    site.anon().bearer(&limited).delete(&purge).await.is(403).says("owners other than solo");
    site.admin().delete(&purge).await.is(204);
    assert_eq!(records(&site).len(), before + 1);
    let detail = site.db_texts("SELECT detail::text AS text FROM audit ORDER BY id DESC LIMIT 1").remove(0);
    insta::assert_snapshot!(detail, @r#"{"bytes": 26, "purge": true, "packages": 2, "versions": 3, "organizations": ["solo"]}"#);
    for gone in ["/api/v1/users/ada", "/api/v1/orgs/solo", "/api/v1/packages/ada", "/api/v1/packages/solo"] {
        site.admin().get(gone).await.is(404);
    }
    // A version they published in someone else's package stays, with Gitea's Ghost as its publisher.
    let kept = site.admin().get("/api/v1/packages/shared/generic/tool/1").await.is(200).json();
    insta::assert_snapshot!(kept["creator"], @r#"{"active":false,"avatar_url":"","created":"1970-01-01T00:00:00Z","email":"","full_name":"","html_url":"/Ghost","id":-1,"is_admin":false,"last_login":null,"login":"Ghost","prohibit_login":false,"username":"Ghost","visibility":"public"}"#);
    site.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(site.store_blobs(), 3, "the grace period of the released blobs has only begun");
    site.pass(Duration::from_secs(1));
    site.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(site.store_blobs(), 1);
    assert_eq!(site.anon().get(&path(&["shared", "tool", "1", "a"])).await.is(200).text(), "of shared");
    assert_eq!(
        site.db_number("SELECT count(*) AS n FROM owner_usage WHERE owner_id NOT IN (SELECT id FROM owners)"),
        0
    );
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn purging_a_user_who_is_publishing_leaves_no_rows_and_no_errors() {
    let settings = &[("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "8")];
    let site = Site::start(Plan { settings, real_time: true, ..Plan::default() });
    for round in 0..4 {
        let name = format!("user{round}");
        site.db(|conn| db_user(conn, &name, Visibility::Public, false));
        let user = site.anon().bearer(&site.db_token(&name, &["all"]));
        let uploads = (0..12).map(|at| {
            let (user, path) = (user.clone(), path(&[&name, &format!("p{}", at % 3), &at.to_string(), "f"]));
            async move { user.put(&path, format!("bytes {at}")).await.status }
        });
        let purge = site.admin().delete(&format!("{}?purge=true", admin_of(&name)));
        let (statuses, purged) = tokio::join!(futures_util::future::join_all(uploads), purge.send());
        purged.unwrap().is(204);
        assert!(statuses.iter().all(|status| [201, 401, 404].contains(status)), "{statuses:?}");
        site.admin().get(&format!("/api/v1/users/{name}")).await.is(404);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM packages"), 0);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_user_deleted_while_becoming_an_owner_stays_or_is_not_owner() {
    let settings = &[("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "8")];
    let site = Site::start(Plan { settings, real_time: true, ..Plan::default() });
    for round in 0..12 {
        let name = format!("user{round}");
        site.db(|conn| db_user(conn, &name, Visibility::Public, false));
        let user = site.anon().bearer(&site.db_token(&name, &["all"]));
        let (org, path) = (json!({"username": format!("org{round}")}), admin_of(&name));
        let path = if round % 2 == 0 { path } else { format!("{path}?purge=true") };
        let (made, deleted) = tokio::join!(user.post("/api/v1/orgs", &org).send(), site.admin().delete(&path).send());
        let outcome = (made.unwrap().status, deleted.unwrap().status, round % 2);
        assert!(
            [(201, 422, 0), (404, 204, 0), (401, 204, 0), (201, 422, 1), (201, 204, 1), (404, 204, 1), (401, 204, 1)]
                .contains(&outcome),
            "{outcome:?}"
        );
    }
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn only_tokens_work_until_a_temporary_password_is_changed() {
    let site = Site::new();
    let new = json!({"username": "grace", "email": "grace@example.org", "password": PASSWORD,
        "must_change_password": true});
    site.admin().post("/api/v1/admin/users", &new).await.is(201);
    let grace = site.user("grace");
    let token = site.anon().bearer(&site.db_token("grace", &["all"]));
    let file = path(&["grace", "tool", "1", "f"]);
    grace.get("/api/v1/user").await.is(403).says("you must change your password");
    grace.put(&file, "x").await.is(403).says("you must change your password");
    grace.post("/api/v1/users/grace/tokens", &json!({"name": "t", "scopes": ["all"]})).await.is(403);
    site.anon().basic("grace", "a wrong password").get("/api/v1/user").await.is(401);
    token.publish(&file, "x").await;
    grace.get(&file).await.is(403);
    site.admin().patch(&admin_of("grace"), &json!({"password": "another horse and battery"})).await.is(200);
    let grace = site.anon().basic("grace", "another horse and battery");
    grace.get("/api/v1/user").await.is(200);
    site.admin().patch(&admin_of("grace"), &json!({"must_change_password": true})).await.is(200);
    grace.get("/api/v1/user").await.is(403);
}
