//! Files that programs ask every site for: `robots.txt`, icons, and addresses that no site of this kind has.

use crate::support::Site;

#[tokio::test]
async fn robots_may_read_pages_and_the_manual_but_no_files_and_no_forms() {
    let site = Site::new();
    let answer = site.anon().get("/robots.txt").await.is(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let rules = answer.lines();
    assert_eq!(rules[0], "User-agent: *");
    for closed in ["/api/", "/login", "/user/", "/-/", "/*/-/packages/generic/*/*/files/", "/*/-/trash", "/*?"] {
        assert!(rules.contains(&&*format!("Disallow: {closed}")), "{closed}");
    }
    assert!(!rules.contains(&"Disallow: /"));
    assert!(rules.contains(&"Allow: /*?page="), "lists in their usual order have an end");
    // `wget -r` reads these rules too, and must be able to mirror a package.
    assert!(answer.text().ends_with("\n\nUser-agent: Wget\nDisallow:\n"));
    let closed = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let rules = "User-agent: *\nDisallow: /\n\nUser-agent: Wget\nDisallow:\n";
    assert_eq!(closed.anon().get("/robots.txt").await.is(200).text(), rules);
}

#[tokio::test]
async fn the_icon_is_at_its_customary_address_too() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let answer = site.anon().get("/favicon.ico").await.is(200);
    assert_eq!(answer.header("content-type"), Some("image/x-icon"));
    // An icon file of three images.
    assert_eq!(answer.body[..6], [0, 0, 1, 0, 3, 0]);
    let etag = answer.header("etag").unwrap();
    site.anon().get("/favicon.ico").header("if-none-match", etag).await.is(304);
    site.anon().head("/favicon.ico").await.is(200);
}

#[tokio::test]
async fn a_security_contact_is_published_as_security_txt() {
    let (contact, url) = ("mailto:security@example.org", "https://packages.example.org");
    let settings = [("PACKHOUSE_SECURITY_CONTACT", contact), ("PACKHOUSE_PUBLIC_URL", url)];
    let site = Site::with(&[&settings[..], &[("PACKHOUSE_REQUIRE_SIGNIN", "true")]].concat());
    let answer = site.anon().get("/.well-known/security.txt").await.is(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let own = format!("Canonical: {url}/.well-known/security.txt");
    assert_eq!(answer.lines(), [&format!("Contact: {contact}"), "Expires: 2026-07-01T03:04:05Z", &own]);
}

#[tokio::test]
async fn giteas_address_of_the_api_description_leads_to_ours() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let answer = site.anon().get("/swagger.v1.json").await.is(303);
    assert_eq!(answer.header("location"), Some("/api/openapi.json"));
    assert_eq!(site.anon().get("/api/openapi.json").await.is(200).json()["info"]["title"], "Packhouse");
}

#[tokio::test]
async fn addresses_that_programs_try_on_every_site_are_404_and_never_lead_to_sign_in() {
    for settings in [&[][..], &[("PACKHOUSE_REQUIRE_SIGNIN", "true")]] {
        let site = Site::with(settings);
        for address in [
            "/apple-touch-icon.png",
            "/apple-touch-icon-precomposed.png",
            "/apple-touch-icon-120x120.png",
            "/.well-known",
            "/.well-known/security.txt",
            "/.well-known/change-password",
            "/.well-known/acme-challenge/x",
            "/sitemap.xml",
            "/manifest.json",
            "/site.webmanifest",
            "/browserconfig.xml",
            "/crossdomain.xml",
            "/ads.txt",
            "/humans.txt",
            "/security.txt",
            "/index.html",
            "/service-worker.js",
            "/v2/",
            "/.env",
            "/.git/config",
            "/sitemap.xml/-/packages",
        ] {
            for accept in ["*/*", "text/html"] {
                let answer = site.anon().get(address).header("accept", accept).await.is(404);
                assert_eq!(answer.header("location"), None, "{address}");
                assert!(!answer.text().contains("action=\"/login\""), "{address}");
            }
        }
        // A name that is reserved for another reason may be the first administrator's.
        site.admin().get("/api/v1/users/admin").await.is(200);
        site.browser_of("admin").await.go("/admin").await.is(200);
        for name in ["apple-touch-icon.png", "sitemap.xml", "swagger.v1.json"] {
            let new = serde_json::json!({"username": name});
            site.admin().post("/api/v1/orgs", &new).await.is(422);
        }
    }
}
