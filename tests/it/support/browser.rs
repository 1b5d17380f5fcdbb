//! A browser without JavaScript: it keeps cookies, submits the forms of a page, and follows redirects only if told to.

use super::{Answer, Client, Site};
use scraper::{ElementRef, Html, Selector};
use std::collections::BTreeMap;

/// A browser with its current page.
pub struct Browser {
    client: Client,
    pub cookies: BTreeMap<String, String>,
    pub answer: Answer,
    pub at: String,
}

impl Site {
    /// A new browser without cookies.
    pub fn browser(&self) -> Browser {
        let answer = Answer { status: 0, headers: Default::default(), body: Vec::new() };
        let client = self.proxy.map_or_else(|| self.anon(), |proxy| self.anon().behind(proxy));
        Browser { client, cookies: BTreeMap::new(), answer, at: String::new() }
    }

    /// The path in browsers of a path within the site.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.proxy.map_or("", |_| super::BASE))
    }

    /// A browser in which a user has signed in.
    pub async fn browser_of(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        browser.go(&self.at("/login")).await;
        browser.submit("main form[action$='/login']", &[("name", name), ("password", super::PASSWORD)]).await;
        assert_eq!(browser.answer.status, 303, "{}", browser.text());
        browser
    }
}

impl Browser {
    /// Sends the next requests to another server, as a load balancer does.
    pub fn lead_to(&mut self, site: &Site) -> &mut Self {
        self.client = site.anon();
        self
    }

    /// Stores the cookies of an answer, and makes it the current page.
    fn take(&mut self, at: &str, answer: Answer) {
        for value in answer.headers.get_all("set-cookie") {
            let text = value.to_str().unwrap();
            let pair = text.split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        self.at = at.to_owned();
        self.answer = answer;
    }

    /// The cookie that has this name, or a longer one with the prefix or the port of the site.
    #[track_caller]
    pub fn cookie(&self, name: &str) -> (String, String) {
        let mut found = self.cookies.iter().filter(|(known, _)| is_cookie(known, name));
        let (name, value) = found.next().unwrap_or_else(|| panic!("no {name} in {:?}", self.cookies));
        assert!(found.next().is_none(), "{:?}", self.cookies);
        (name.clone(), value.clone())
    }

    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Gives the browser a cookie of another.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Deletes all cookies but this one.
    pub fn keep_only(&mut self, name: &str) {
        self.cookies.retain(|known, _| is_cookie(known, name));
    }

    /// Sends any request with the cookies.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> &mut Self {
        let mut request = self.client.request(method, path).header("cookie", self.cookie_header());
        for (name, value) in fields {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.await;
        self.take(path, answer);
        self
    }

    /// Opens a page.
    pub async fn go(&mut self, path: &str) -> &mut Self {
        self.send("GET", path, &[("accept", "text/html")], None).await
    }

    /// Follows the redirect of the current answer.
    pub async fn follow(&mut self) -> &mut Self {
        let to = self.answer.header("location").expect("a redirect").to_owned();
        self.go(&to).await
    }

    /// Submits a form of the page with its current values, after replacing or adding these.
    pub async fn submit(&mut self, form: &str, values: &[(&str, &str)]) -> &mut Self {
        let (action, fields) = {
            let page = Html::parse_document(self.answer.text());
            let form = only(&page, form);
            let action = form.attr("action").map_or_else(|| self.at.clone(), str::to_owned);
            assert_eq!(form.attr("method").unwrap_or("get").to_lowercase(), "post", "{form:?}");
            let mut fields: Vec<(String, String)> = Vec::new();
            for input in form.select(&Selector::parse("input, select, textarea").unwrap()) {
                let name = input.attr("name").unwrap_or_default().to_owned();
                let given = values.iter().any(|(given, _)| *given == name);
                let boxed = matches!(input.attr("type"), Some("checkbox" | "radio"));
                if name.is_empty() || given || boxed && input.attr("checked").is_none() {
                    continue;
                }
                fields.push((name, value_of(input)));
            }
            fields.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            (action, fields)
        };
        let body = serde_html_form::to_string(&fields).unwrap();
        self.post(&action, body).await
    }

    /// Submits form data that is already encoded.
    pub async fn post(&mut self, path: &str, body: String) -> &mut Self {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let fields = [kind, ("sec-fetch-site", "same-origin"), ("accept", "text/html")];
        self.send("POST", path, &fields, Some(body.into_bytes())).await
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(&mut self, status: u16) -> &mut Self {
        assert_eq!(self.answer.status, status, "{} {}", self.at, String::from_utf8_lossy(&self.answer.body));
        self
    }

    /// The texts of all elements that a selector finds, with white space collapsed.
    pub fn all(&self, selector: &str) -> Vec<String> {
        let page = Html::parse_document(self.answer.text());
        page.select(&Selector::parse(selector).unwrap()).map(text_of).collect()
    }

    /// The text of the only element that a selector finds, with white space collapsed.
    #[track_caller]
    pub fn one(&self, selector: &str) -> String {
        let page = Html::parse_document(self.answer.text());
        text_of(only(&page, selector))
    }

    /// The text of the only element that a selector finds, with its white space.
    #[track_caller]
    pub fn exact(&self, selector: &str) -> String {
        let page = Html::parse_document(self.answer.text());
        only(&page, selector).text().collect()
    }

    /// An attribute of all elements that a selector finds.
    pub fn attrs(&self, selector: &str, name: &str) -> Vec<String> {
        let page = Html::parse_document(self.answer.text());
        let selector = Selector::parse(selector).unwrap();
        let found = page.select(&selector);
        found.filter_map(|element| element.attr(name).map(str::to_owned)).collect()
    }

    /// The HTML of the page.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer.body).into_owned()
    }

    /// The CSRF token of the page's forms.
    pub fn csrf(&self) -> String {
        self.attrs("input[name=csrf]", "value").into_iter().next().expect("a form")
    }
}

fn only<'a>(page: &'a Html, selector: &str) -> ElementRef<'a> {
    let mut found =
        page.select(&Selector::parse(selector).unwrap_or_else(|_| panic!("{selector}"))).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{selector} in {}", page.html());
    found.remove(0)
}

fn text_of(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn value_of(input: ElementRef<'_>) -> String {
    match input.value().name() {
        "textarea" => input.text().collect(),
        "select" => {
            let selector = Selector::parse("option[selected], option").unwrap();
            let chosen = input.select(&Selector::parse("option[selected]").unwrap()).next();
            let option = chosen.or_else(|| input.select(&selector).next());
            option.and_then(|option| option.attr("value")).unwrap_or_default().to_owned()
        }
        _ => input.attr("value").unwrap_or(if input.attr("type") == Some("checkbox") { "on" } else { "" }).to_owned(),
    }
}

/// Whether a browser's cookie is the one with this name, to which the site adds a prefix and its port.
fn is_cookie(known: &str, name: &str) -> bool {
    let bare = known.strip_prefix("__Host-").or_else(|| known.strip_prefix("__Secure-")).unwrap_or(known);
    bare.strip_prefix(name).is_some_and(|rest| rest.trim_start_matches('-').chars().all(|c| c.is_ascii_digit()))
}
