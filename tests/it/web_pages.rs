//! Every page of the table, as a visitor, a user and an administrator see it: the fields of its head that keep it safe, and
//! what makes it whole for everybody: names for all fields, one heading, no link that leads nowhere, little weight.

use crate::support::browser::Browser;
use crate::support::people::{db_org, db_user};
use crate::support::{BASE, Proxy, Site, path};
use packhouse::auth::policy::AcceptedCredentials;
use packhouse::domain::role::Visibility;
use packhouse::routes::{Row, table};
use reqwest::Url;
use scraper::{ElementRef, Html, Node, Selector};
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of a page with all that its first visit loads.
const MOST_BYTES: usize = 60_000;

/// Addresses that no row of the table has as it stands.
const MORE: [&str; 8] = [
    "/nobody",
    "/nobody/-/packages/generic/nothing",
    "/a/page/that/is/not/there",
    "/explore/packages?q=tool",
    "/explore/packages?q=nothing-is-called-so",
    "/login?redirect_to=%2Fexplore",
    "/empty",
    "/org/acme/members?q=nobody-at-all",
];

/// A site with something on every page.
async fn settle(proxy: Option<Proxy>) -> Site {
    // A provider that refuses every connection.
    let public = if proxy.is_some() { "https://host.test/packages" } else { "" };
    let mut site = Site::with(&[
        ("PACKHOUSE_PUBLIC_URL", public),
        ("PACKHOUSE_AUTH_OIDC_NAME", "corp"),
        ("PACKHOUSE_AUTH_OIDC_ISSUER", "http://127.0.0.1:1"),
        ("PACKHOUSE_AUTH_OIDC_CLIENT_ID", "packhouse"),
    ]);
    site.proxy = proxy;
    site.db_execute(
        "INSERT INTO identities (user_id, provider, issuer, subject, email, created_at) SELECT id, 'corp', \
         'http://127.0.0.1:1', 'subject of ada', 'ada@example.org', now() FROM owners WHERE name = 'ada'",
    );
    site.db_execute(
        "INSERT INTO passkeys (user_id, credential_id, user_handle, public_key, state, transports, name, created_at) \
         SELECT id, sha256('ada'), sha256('ada'), '', '\\x01000000000000', 0, 'Laptop', now() FROM owners \
         WHERE name = 'ada'",
    );
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_org(conn, "inside", Visibility::Private)?;
        db_user(conn, "empty", Visibility::Public, false)
    });
    let ada = site.anon().bearer(&site.db_token("ada", &["all"]));
    ada.post("/api/v1/orgs/acme/robots", &serde_json::json!({"name": "deploy"})).await.is(201);
    let condition = serde_json::json!({"claim": "repository", "equals": "ada/tool"});
    let publisher =
        serde_json::json!({"name": "release", "packages": "*", "provider": "github", "conditions": [condition]});
    site.ada().post("/api/v1/packages/ada/-/publishers", &publisher).await.is(201);
    for owner in ["ada", "acme", "inside"] {
        for version in ["1.0.0", "2.0.0-rc.1 with spaces and ümlauts"] {
            let readme = "# Tool\n\nRead [the manual](https://example.org/manual).\n\n```sh\nmake\n```\n";
            ada.publish(&path(&[owner, "tool", version, "README.md"]), readme).await;
            ada.publish(&path(&[owner, "tool", version, "tool $(id) & 'b'.tar.gz".replace('\'', "").as_str()]), "x")
                .await;
        }
        ada.publish(&path(&[owner, "tool", "0.9", "old.bin"]), "z").await;
        ada.delete(&path(&[owner, "tool", "0.9"])).await.is(204);
        ada.publish(&path(&[owner, &"long-name-".repeat(25), &"9".repeat(255), &"f".repeat(255)]), "y").await;
    }
    site
}

/// The address of a page of the table.
async fn address(site: &Site, row: &Row) -> String {
    let mut address = row.path.to_owned();
    // Things that not every page is about.
    for (part, table) in [
        ("{token}", "tokens"),
        ("{hook}", "hooks"),
        ("{delivery}", "hook_deliveries"),
        ("{entry}", "trash"),
        ("{rule}", "retention_rules"),
        ("{identity}", "identities"),
        ("{passkey}", "passkeys"),
        ("{publisher}", "publishers"),
    ] {
        if address.contains(part) {
            let id = site.db_number(&format!("SELECT coalesce(min(id), 1) AS n FROM {table}"));
            address = address.replace(part, &id.to_string());
        }
    }
    let file = site.db_number("SELECT min(f.id) AS n FROM files f");
    let session = site.db_texts("SELECT coalesce(max(id::text), '') AS text FROM sessions").remove(0);
    for (name, value) in [
        ("{owner}", "ada"),
        ("{org}", "acme"),
        ("{user}", "ada"),
        ("{name}", "tool"),
        ("{version}", "1.0.0"),
        ("{team}", "Owners"),
        ("{robot}", "deploy"),
        ("{provider}", "corp"),
        ("{id}", &file.to_string()),
        ("{file}", "README.md"),
        ("{session}", &session),
        ("{page:.*}", "usage/packages/generic/"),
    ] {
        address = address.replace(name, value);
    }
    address
}

/// One persona's walk: what is wrong, and what was found at each address that a page leads to.
struct Walk {
    who: &'static str,
    browser: Browser,
    wrong: Vec<String>,
    /// Status, text and kind, by address.
    known: BTreeMap<String, (u16, String, String)>,
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

/// The name that a screen reader gives an element by its content.
fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().trim().to_owned()
}

impl Walk {
    fn says(&mut self, at: &str, what: impl std::fmt::Display) {
        self.wrong.push(format!("{at} as {}: {what}", self.who));
    }

    /// What is at an address, followed to where it redirects.
    async fn look(&mut self, address: &str) -> (u16, String, String) {
        let bare = address.split('#').next().unwrap_or_default().to_owned();
        if let Some(known) = self.known.get(&bare) {
            return known.clone();
        }
        let mut at = bare.clone();
        let mut found = (0, String::new(), String::new());
        for _ in 0..4 {
            self.browser.go(&at).await;
            let answer = &self.browser.answer;
            let kind = answer.header("content-type").unwrap_or_default().to_owned();
            found = (answer.status, String::from_utf8_lossy(&answer.body).into_owned(), kind);
            match answer.header("location") {
                Some(to) if (300..400).contains(&answer.status) => at = from(&at, to).unwrap_or_default(),
                _ => break,
            }
        }
        self.known.insert(bare, found.clone());
        found
    }

    /// Visits a page and judges it.
    async fn visit(&mut self, at: &str) {
        self.browser.go(at).await;
        let answer = self.browser.answer.clone();
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        if answer.status >= 500 {
            self.says(at, answer.status);
        }
        self.heads(at, &kind);
        if !kind.starts_with("text/html") {
            return;
        }
        let html = String::from_utf8_lossy(&answer.body).into_owned();
        let (wrong, links, assets) = {
            let page = Html::parse_document(&html);
            (judge(&page), links(&page), assets(&page))
        };
        for what in wrong {
            self.says(at, what);
        }
        for link in links {
            self.leads(at, &html, &link).await;
        }
        // A page of the manual is as long as what it says.
        let said = if is_manual(at) { prose(&Html::parse_document(&html)) } else { 0 };
        let mut weight = html.len() - said;
        let mut seen = BTreeSet::new();
        for asset in assets {
            let Some(asset) = from(at, &asset) else {
                self.says(at, format_args!("{asset} is loaded from elsewhere"));
                continue;
            };
            let (status, text, kind) = self.look(&asset).await;
            let file = asset.split('#').next().unwrap().to_owned();
            if status != 200 {
                self.says(at, format_args!("{asset} answers {status}"));
            }
            if let Some((_, name)) = asset.split_once('#')
                && !text.contains(&format!("id=\"{name}\""))
            {
                self.says(at, format_args!("{asset} is not in its file"));
            }
            // Pictures in a text are not what a page is made of.
            if kind.starts_with("image/") && kind != "image/svg+xml" {
                continue;
            }
            if !has_digest(&file) {
                self.says(at, format_args!("{asset} may not be kept: its name has no digest"));
            }
            if seen.insert(file.clone()) {
                weight += self.bytes_sent(&file).await;
            }
        }
        if weight > MOST_BYTES {
            self.says(at, format_args!("weighs {weight} bytes, {} of them HTML", html.len()));
        }
    }

    /// How many bytes an asset is on its way to a browser, which takes it compressed.
    async fn bytes_sent(&mut self, asset: &str) -> usize {
        self.browser.send("GET", asset, &[("accept-encoding", "gzip")], None).await.answer.body.len()
    }

    /// The fields of the head.
    fn heads(&mut self, at: &str, kind: &str) {
        let answer = self.browser.answer.clone();
        let policy = answer.header("content-security-policy").unwrap_or_default().to_owned();
        for part in ["default-src 'none'", "frame-ancestors 'none'"] {
            if !policy.contains(part) {
                self.says(at, format_args!("the policy {policy:?} lacks {part}"));
            }
        }
        if policy.contains("unsafe") || policy.contains("http:") || policy.contains("https:") || policy.contains('*') {
            self.says(at, format_args!("the policy is wide: {policy}"));
        }
        let mut wanted = vec![("x-content-type-options", "nosniff")];
        if kind.starts_with("text/html") {
            wanted.extend([
                ("referrer-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ]);
        }
        // A page of the manual has nothing of its reader's, as long as he is not signed in.
        let kept = answer.header("cache-control").unwrap_or_default();
        let manual = self.who == "a visitor" && is_manual(at) && kept == "private, no-cache";
        if kept != "no-store" && !manual && kind.starts_with("text/html") {
            self.says(at, format_args!("cache-control is {kept}"));
        }
        for (name, value) in wanted {
            if answer.header(name) != Some(value) {
                self.says(at, format_args!("{name} is {:?}", answer.header(name)));
            }
        }
    }

    /// Where a link of a page leads.
    async fn leads(&mut self, at: &str, html: &str, link: &Link) {
        let Some(to) = from(at, &link.to) else { return };
        let fragment = to.split_once('#').map_or("", |(_, fragment)| fragment).to_owned();
        let target = match link.to.starts_with('#') {
            true => (200, html.to_owned(), "text/html".to_owned()),
            false => self.look(&to).await,
        };
        // A form's address may have no page of its own; it is there if it is known by another method.
        let there = if link.is_post { target.0 != 404 || target.1.contains("answers POST") } else { target.0 == 200 };
        if !there {
            self.says(at, format_args!("{} leads nowhere: {}", link.to, target.0));
        }
        let is_page = target.2.starts_with("text/html");
        if !fragment.is_empty() && is_page && !target.1.contains(&format!("id=\"{fragment}\"")) {
            self.says(at, format_args!("{} leads to no place of its page", link.to));
        }
    }
}

/// The address of this site that a link leads to from a page; `None` for one that leads out of it.
fn from(page: &str, link: &str) -> Option<String> {
    let to = Url::parse("http://site/").unwrap().join(page).unwrap().join(link).unwrap();
    to.as_str().strip_prefix("http://site").map(str::to_owned)
}

/// Whether a page belongs to the manual.
fn is_manual(at: &str) -> bool {
    at.strip_prefix(BASE).unwrap_or(at).starts_with("/docs")
}

/// Whether the name of an asset carries its digest, so that it can be kept for ever.
fn has_digest(address: &str) -> bool {
    let parts: Vec<_> = address.split('.').collect();
    let digest = parts.len().checked_sub(2).map(|at| parts[at]);
    digest.is_some_and(|part| part.len() == 12 && part.chars().all(|c| c.is_ascii_hexdigit()))
}

struct Link {
    to: String,
    is_post: bool,
}

/// Where a page leads.
fn links(page: &Html) -> Vec<Link> {
    let mut found = Vec::new();
    for link in select(page, "a[href]") {
        let to = link.attr("href").unwrap();
        found.push(Link { to: to.to_owned(), is_post: false });
    }
    for form in select(page, "form[action]") {
        let is_post = form.attr("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        found.push(Link { to: form.attr("action").unwrap().to_owned(), is_post });
    }
    found.retain(|link| !link.to.ends_with("/logout") && !link.to.ends_with("/-/theme"));
    found
}

/// What a page loads at a first visit.
fn assets(page: &Html) -> Vec<String> {
    let mut found = Vec::new();
    for (selector, name) in [
        ("link:not([rel=canonical], [rel=alternate])", "href"),
        ("script[src]", "src"),
        ("use[href]", "href"),
        ("img[src]", "src"),
    ] {
        let all = select(page, selector);
        let of = all.iter().filter_map(|element| element.attr(name));
        found.extend(of.filter(|address| !address.starts_with("data:")).map(str::to_owned));
    }
    found
}

/// How many bytes the rendered text of a page has.
fn prose(page: &Html) -> usize {
    select(page, ".prose").iter().map(|text| text.inner_html().len()).sum()
}

/// What is wrong with a page as it stands.
fn judge(page: &Html) -> Vec<String> {
    let mut wrong = Vec::new();
    let count = |selector: &str| select(page, selector).len();
    for (selector, least, most) in [
        ("html[lang]", 1, 1),
        ("head > title", 1, 1),
        ("h1", 1, 1),
        ("main", 1, 1),
        ("meta[name=viewport]", 1, 1),
        ("meta[name=description]", 0, 1),
        ("link[rel=canonical]", 0, 1),
        ("[style]", 0, 0),
        ("style", 0, 0),
        ("script:not([src])", 0, 0),
        ("a[href^='javascript:']", 0, 0),
        ("[autofocus]", 0, 1),
        ("iframe, object, embed, base", 0, 0),
    ] {
        let found = count(selector);
        if found < least || found > most {
            wrong.push(format!("{found} of {selector}"));
        }
    }
    if select(page, "head > title").iter().any(|title| text(*title).trim_start_matches(['·', ' ']).len() < 9) {
        wrong.push("the title says nothing".to_owned());
    }
    let mut ids = BTreeSet::new();
    for element in select(page, "[id]") {
        if !ids.insert(element.attr("id").unwrap()) {
            wrong.push(format!("the id {} is there twice", element.attr("id").unwrap()));
        }
    }
    for name in ["for", "aria-describedby", "aria-labelledby", "aria-controls", "list", "form", "data-copy-from"] {
        for element in select(page, &format!("[{name}]")) {
            for id in element.attr(name).unwrap().split_whitespace() {
                if !ids.contains(id) {
                    wrong.push(format!("{name}={id} is no id of the page"));
                }
            }
        }
    }
    for node in page.tree.values() {
        if let Node::Element(element) = node
            && let Some((name, _)) = element.attrs().find(|(name, _)| name.starts_with("on"))
        {
            wrong.push(format!("<{} {name}>", element.name()));
        }
    }
    wrong.extend(hasty(page));
    wrong.extend(names(page));
    wrong.extend(tables(page));
    for form in select(page, "form") {
        let is_post = form.attr("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        let token = Selector::parse("input[type=hidden][name=csrf]").unwrap();
        let tokens: Vec<_> = form.select(&token).filter_map(|input| input.attr("value")).collect();
        let right = if is_post { tokens.len() == 1 && tokens[0].len() == 64 } else { tokens.is_empty() };
        if !right {
            wrong.push(format!("the form {:?} has the tokens {tokens:?}", form.attr("action")));
        }
    }
    wrong
}

/// Steps that destroy something at once: without a second step, a page of their own, or something to type.
fn hasty(page: &Html) -> Vec<String> {
    let calm = Selector::parse("a.btn, input:not([type=hidden])").unwrap();
    let mut wrong = Vec::new();
    for button in select(page, "form button.danger") {
        let around: Vec<_> = button.ancestors().filter_map(ElementRef::wrap).collect();
        let is_second = around.iter().any(|element| element.value().name() == "details");
        let form = around.into_iter().find(|element| element.value().name() == "form");
        if !is_second && form.is_some_and(|form| form.select(&calm).next().is_none()) {
            wrong.push(format!("{} acts at once", text(button)));
        }
    }
    wrong
}

/// Fields, buttons, links and pictures without a name, or with another than they show.
fn names(page: &Html) -> Vec<String> {
    let mut wrong = Vec::new();
    let labelled: BTreeSet<&str> = select(page, "label[for]")
        .iter()
        .filter(|label| !text(**label).is_empty())
        .filter_map(|l| l.attr("for"))
        .collect();
    for field in
        select(page, "input:not([type=hidden]):not([type=submit]):not([hidden]), select, textarea, progress, meter")
    {
        let own = field.attr("aria-label").or_else(|| field.attr("aria-labelledby")).is_some();
        let wrapped = field.ancestors().filter_map(ElementRef::wrap).any(|around| around.value().name() == "label");
        if !own && !wrapped && !field.attr("id").is_some_and(|id| labelled.contains(id)) {
            wrong.push(format!("{} has no label", field.html().chars().take(90).collect::<String>()));
        }
    }
    for element in select(page, "a[href], button, summary") {
        if text(element).is_empty() && element.attr("aria-label").is_none_or(str::is_empty) {
            wrong.push(format!("{} has no name", element.html().chars().take(90).collect::<String>()));
        }
        // WCAG 2.5.3: saying the visible words must reach the element. A symbol such as # has none.
        let shown = text(element);
        let has_words = shown.contains(char::is_alphanumeric);
        if has_words && element.attr("aria-label").is_some_and(|label| !label.contains(&shown)) {
            wrong.push(format!("{} is not named as it reads", element.html().chars().take(90).collect::<String>()));
        }
    }
    for picture in select(page, "img:not([alt]), svg:not([aria-hidden]):not([aria-label]):not([aria-labelledby])") {
        wrong.push(format!("{} has no alternative", picture.html().chars().take(60).collect::<String>()));
    }
    for landmark in ["nav", "section"] {
        for element in select(page, landmark) {
            if element.attr("aria-label").or_else(|| element.attr("aria-labelledby")).is_none() {
                wrong.push(format!("a {landmark} has no name"));
            }
        }
    }
    wrong
}

/// Tables whose cells cannot be told apart on a phone or by ear.
fn tables(page: &Html) -> Vec<String> {
    let mut wrong = Vec::new();
    if select(page, "table th:not([scope])").iter().any(|head| {
        !head
            .ancestors()
            .filter_map(ElementRef::wrap)
            .any(|around| around.value().classes().any(|name| name == "prose"))
    }) {
        wrong.push("a th has no scope".to_owned());
    }
    for cell in select(page, ".cards td:not([data-label]):not(.actions):not([colspan])") {
        wrong.push(format!("{} has no data-label", cell.html().chars().take(60).collect::<String>()));
    }
    wrong
}

async fn walk(who: &'static str, proxy: Option<Proxy>) {
    let site = settle(proxy).await;
    let browser = match who {
        "a visitor" => site.browser(),
        name => site.browser_of(name).await,
    };
    let mut walk = Walk { who, browser, wrong: Vec::new(), known: BTreeMap::new() };
    let takes_sessions = [AcceptedCredentials::Session, AcceptedCredentials::SessionOrAny];
    let pages = |row: &Row| takes_sessions.contains(&row.policy.credentials) && row.method == "GET";
    for row in table().iter().filter(|row| pages(row)) {
        let address = address(&site, row).await;
        if address.contains('{') {
            walk.says(row.path, "say in `address` what stands there");
            continue;
        }
        walk.visit(&site.at(&address)).await;
    }
    for address in MORE {
        walk.visit(&site.at(address)).await;
    }
    let wrong: BTreeSet<String> = walk.wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{} faults\n{}", wrong.len(), wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn every_page_is_safe_whole_and_light_for_a_visitor() {
    walk("a visitor", None).await;
}

#[tokio::test]
async fn every_page_is_safe_whole_and_light_for_a_user() {
    walk("ada", None).await;
}

#[tokio::test]
async fn every_page_is_safe_whole_and_light_for_an_administrator() {
    walk("admin", None).await;
}

#[tokio::test]
async fn every_link_works_below_a_path_that_the_proxy_removes() {
    walk("admin", Some(Proxy::Strips)).await;
}

#[tokio::test]
async fn every_link_works_below_a_path_that_the_proxy_keeps() {
    walk("a visitor", Some(Proxy::Keeps)).await;
}

#[tokio::test]
async fn what_a_page_is_made_of_is_kept_for_ever_and_changes_its_name_with_its_content() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    let page = Html::parse_document(&browser.text());
    let assets = assets(&page);
    assert!(assets.len() > 5);
    for asset in assets {
        browser.go(asset.split('#').next().unwrap()).await.is(200);
        assert_eq!(browser.answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{asset}");
        assert_eq!(browser.answer.header("x-content-type-options"), Some("nosniff"), "{asset}");
        assert!(has_digest(asset.split('#').next().unwrap()), "{asset}");
    }
    browser.go("/assets/app.css").await.is(404);
}

#[tokio::test]
async fn a_chosen_color_theme_stays() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/login?redirect_to=%2Fexplore").await.is(200);
    assert_eq!(browser.attrs("html", "data-theme"), ["system"]);
    for theme in ["dark", "light", "system"] {
        browser.submit("form[action='/-/theme']", &[("theme", theme)]).await.is(303);
        assert_eq!(browser.answer.header("location"), Some("/login?redirect_to=%2Fexplore"), "back to where one was");
        browser.follow().await.is(200);
        assert_eq!(browser.attrs("html", "data-theme"), [theme]);
        assert_eq!(browser.attrs("form[action='/-/theme'] [aria-pressed=true]", "value"), [theme]);
    }
}
