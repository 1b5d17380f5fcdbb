//! Renders untrusted Markdown as safe HTML. Whatever the input, the output has only elements and attributes from an
//! allow-list, loads no image from another site, and takes time proportional to the length of the input.

use ammonia::Builder;
use percent_encoding::percent_decode_str;
use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// HTML that is safe to put in a page. Only this module creates it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Templates insert it without escaping.
impl askama::filters::HtmlSafe for Html {}

/// How the text uses an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Link,
    Image,
}

/// How many levels to lower headings: the text appears under a heading of the second level.
const DOWN: usize = 2;
/// The prefix of ids, so that they cannot clash with the ids of the page.
const PREFIX: &str = "user-content-";
/// The `rel` of links.
const REL: &str = "nofollow noopener ugc";

/// The maximum nesting depth. Deeper elements lose their markup and keep their text, because browsers and sanitizers
/// search all open elements for each new one.
const DEEPEST: usize = 40;
/// The maximum number of raw HTML tags; the rest is shown as text.
const MOST_TAGS: usize = 2000;

/// Renders untrusted text. `find` maps a relative address to a file beside the text, if there is one.
pub fn render_readme(text: &str, find: impl Fn(Use, &str) -> Option<String> + Send + Sync + 'static) -> Html {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::new(&find);
    for event in Parser::new_ext(text, options) {
        writer.take(event);
    }
    let events = writer.events;
    let mut raw = String::with_capacity(text.len() * 2);
    html::push_html(&mut raw, events.into_iter());
    // The content security policy forbids inline styles; the old attribute does the same.
    for cell in ["td", "th"] {
        for side in ["left", "center", "right"] {
            raw = raw.replace(&format!("<{cell} style=\"text-align: {side}\">"), &format!("<{cell} align=\"{side}\">"));
        }
    }
    Html(sanitize(&raw, find))
}

/// Removes everything that is not allowed, and rewrites every address.
fn sanitize(raw: &str, find: impl Fn(Use, &str) -> Option<String> + Send + Sync + 'static) -> String {
    let mut rules = Builder::default();
    rules
        // Headings from Markdown are lowered; raw HTML headings would rank as headings of the page.
        .rm_tags(["h1", "h2"])
        .rm_tags(["map", "area", "article", "aside", "footer", "header", "nav"])
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .link_rel(Some(REL))
        .add_generic_attributes(["id"])
        .id_prefix(Some(PREFIX))
        .add_tag_attributes("a", ["aria-label"])
        .add_tag_attributes("p", ["align"])
        .add_tag_attributes("div", ["align"])
        .add_tag_attributes("details", ["open"])
        .add_allowed_classes("a", ["anchor"])
        .add_allowed_classes("div", ["footnote-definition"])
        .add_allowed_classes("sup", ["footnote-reference", "footnote-definition-label"])
        .set_tag_attribute_value("img", "loading", "lazy")
        // Wide tables scroll; they must be focusable to scroll with the keyboard.
        .set_tag_attribute_value("table", "tabindex", "0")
        .attribute_filter(move |element, attribute, value| match (element, attribute) {
            ("img", "src") => address(Use::Image, value, &find).map(Cow::Owned),
            (_, "src" | "cite" | "srcset" | "background") => None,
            (_, "href") => address(Use::Link, value, &find).map(Cow::Owned),
            _ => Some(Cow::Borrowed(value)),
        });
    rules.clean(&with_short_texts(raw)).to_string()
}

/// Texts of at most about so many bytes are written fast enough whatever they contain.
const SHORT_TEXT: usize = 1024;

/// The same HTML with an empty comment, which the sanitizer drops, in long texts. The sanitizer's writer searches the
/// rest of a text again for each `&` in it and for each character from U+0080 to U+00BF, so a text full of them would take
/// time proportional to the square of its length.
fn with_short_texts(raw: &str) -> Cow<'_, str> {
    if raw.split(['<', '>']).all(|text| text.len() <= 2 * SHORT_TEXT) {
        return Cow::Borrowed(raw);
    }
    let mut split = String::with_capacity(raw.len() + raw.len() / 64);
    let mut length = 0;
    for (at, c) in raw.char_indices() {
        length = if matches!(c, '<' | '>') { 0 } else { length + c.len_utf8() };
        // Not within a character reference, such as `&amp;`.
        let is_apart = matches!(c, '&' | ' ' | '\n') || length > 2 * SHORT_TEXT && !is_in_reference(raw, at);
        if length > SHORT_TEXT && is_apart {
            split.push_str("<!---->");
            length = 0;
        }
        split.push(c);
    }
    Cow::Owned(split)
}

/// Whether a character reference may have begun right before a place.
fn is_in_reference(html: &str, at: usize) -> bool {
    /// The longest name, `&CounterClockwiseContourIntegral;`, has this many bytes.
    const LONGEST: usize = 33;
    html.as_bytes().get(at.saturating_sub(LONGEST)..at).is_some_and(|before| before.contains(&b'&'))
}

/// The target of an address in the text, if it is allowed.
fn address(used: Use, value: &str, find: impl Fn(Use, &str) -> Option<String>) -> Option<String> {
    let value = value.trim();
    if let Some(fragment) = value.strip_prefix('#') {
        let known = fragment.strip_prefix(PREFIX).unwrap_or(fragment);
        return (used == Use::Link).then(|| format!("#{PREFIX}{known}"));
    }
    match is_absolute(value) {
        true => (used == Use::Link).then(|| value.to_owned()),
        false => find(used, value),
    }
}

/// Whether an address has a scheme or a host.
fn is_absolute(value: &str) -> bool {
    let scheme = value.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)))
}

/// The decoded file name in a relative address: `./logo.png` and `logo.png#top` are `logo.png`. It may be a path.
pub fn file_of(address: &str) -> Option<String> {
    let path = address.split(['#', '?']).next().unwrap_or_default();
    let path = path.strip_prefix("./").unwrap_or(path);
    let name = percent_decode_str(path).decode_utf8().ok()?;
    (!name.is_empty() && !name.starts_with('/')).then(|| name.into_owned())
}

/// Reads the events of a text one by one, and writes the events of the page.
struct Writer<'a, F> {
    find: &'a F,
    events: Vec<Event<'a>>,
    slugs: HashMap<String, usize>,
    /// Whether each open element was written.
    open: Vec<bool>,
    tags: usize,
    /// The number of open links.
    links: usize,
    /// The image whose description is being read, and its target.
    image: Option<(CowStr<'a>, String, usize)>,
    /// The start of the heading that is being read, and its text.
    heading: Option<(usize, String)>,
}

impl<'a, F: Fn(Use, &str) -> Option<String>> Writer<'a, F> {
    fn new(find: &'a F) -> Self {
        Self {
            find,
            events: Vec::new(),
            slugs: HashMap::new(),
            open: Vec::new(),
            tags: 0,
            links: 0,
            image: None,
            heading: None,
        }
    }

    fn take(&mut self, event: Event<'a>) {
        if let Some((_, description, depth)) = &mut self.image {
            match event {
                Event::Text(text) | Event::Code(text) => description.push_str(&text),
                Event::SoftBreak | Event::HardBreak => description.push(' '),
                Event::Start(Tag::Image { .. }) => *depth += 1,
                Event::End(TagEnd::Image) if *depth > 0 => *depth -= 1,
                Event::End(TagEnd::Image) => self.end_image(),
                _ => {}
            }
            return;
        }
        if let (Some((_, heading)), Event::Text(text) | Event::Code(text)) = (&mut self.heading, &event) {
            heading.push_str(text);
        }
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            Event::Html(raw) | Event::InlineHtml(raw) => {
                self.tags += raw.matches('<').count();
                let event = if self.tags > MOST_TAGS { Event::Text(raw) } else { Event::InlineHtml(raw) };
                self.events.push(event);
            }
            Event::TaskListMarker(done) => self.events.push(Event::Text(if done { "☑ " } else { "☐ " }.into())),
            other => self.events.push(other),
        }
    }

    fn start(&mut self, tag: Tag<'a>) {
        if let Tag::Image { dest_url, .. } = tag {
            self.image = Some((dest_url, String::new(), 0));
            return;
        }
        // The parts of a table mean nothing alone, and tables do not nest.
        let written = self.open.len() < DEEPEST || matches!(tag, Tag::TableHead | Tag::TableRow | Tag::TableCell);
        self.open.push(written);
        if !written {
            return;
        }
        match tag {
            Tag::Link { .. } => self.links += 1,
            Tag::Heading { .. } => self.heading = Some((self.events.len(), String::new())),
            _ => {}
        }
        self.events.push(Event::Start(tag));
    }

    fn end(&mut self, end: TagEnd) {
        if !self.open.pop().unwrap_or(false) {
            return;
        }
        match end {
            TagEnd::Link => self.links -= 1,
            TagEnd::Heading(level) => return self.end_heading(level),
            _ => {}
        }
        self.events.push(Event::End(end));
    }

    /// An image on this site stays an image; any other becomes a link to it or, within a link, its description.
    fn end_image(&mut self) {
        let Some((source, description, _)) = self.image.take() else { return };
        let kind = LinkType::Inline;
        if address(Use::Image, &source, self.find).is_some() {
            let tag = Tag::Image { link_type: kind, dest_url: source, title: "".into(), id: "".into() };
            self.events.extend([Event::Start(tag), Event::Text(description.into()), Event::End(TagEnd::Image)]);
            return;
        }
        let name = if description.trim().is_empty() { "no description" } else { description.trim() };
        let text = Event::Text(format!("[image: {name}]").into());
        if self.links > 0 || !is_absolute(&source) {
            return self.events.push(text);
        }
        let tag = Tag::Link { link_type: kind, dest_url: source, title: "".into(), id: "".into() };
        self.events.extend([Event::Start(tag), text, Event::End(TagEnd::Link)]);
    }

    /// Gives a heading its level, an id and a link to itself.
    fn end_heading(&mut self, level: HeadingLevel) {
        let Some((start, text)) = self.heading.take() else { return };
        let level = (level as usize + DOWN).min(6);
        let slug = slug(&text);
        let times = self.slugs.entry(slug.clone()).or_insert(0);
        let name = if *times == 0 { slug } else { format!("{slug}-{times}") };
        *times += 1;
        let id = format!("{PREFIX}{name}");
        let tag = Tag::Heading {
            level: HeadingLevel::try_from(level).unwrap_or(HeadingLevel::H6),
            id: Some(id.clone().into()),
            classes: Vec::new(),
            attrs: Vec::new(),
        };
        let end = tag.to_end();
        if let Some(event) = self.events.get_mut(start) {
            *event = Event::Start(tag);
        }
        let label = quoted(&format!("Link to: {text}"));
        let anchor = format!(" <a class=\"anchor\" href=\"#{id}\" aria-label=\"{label}\">#</a>");
        self.events.extend([Event::InlineHtml(anchor.into()), Event::End(end)]);
    }
}

/// Escapes text for a quoted attribute.
fn quoted(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A heading's id, made as on GitHub: lower-case letters, digits, and `-` for spaces.
pub fn slug(text: &str) -> String {
    let kept = |c: char| match c {
        ' ' | '-' => Some('-'),
        c if c.is_alphanumeric() || c == '_' => Some(c),
        _ => None,
    };
    let slug: String = text.trim().to_lowercase().chars().filter_map(kept).collect();
    if slug.is_empty() { "section".to_owned() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn html(text: &str) -> String {
        let find = |used, value: &str| {
            let file = file_of(value)?;
            ["logo.png", "notes & more.txt"].contains(&&*file).then(|| format!("/files/{used:?}"))
        };
        render_readme(text, find).to_string()
    }

    #[test]
    fn markdown_is_rendered_as_its_author_expects() {
        let table = html("| a | b |\n|---|--:|\n| 1 | 2 |\n");
        assert!(table.contains("<th align=\"right\">b</th>") && table.contains("<td>1</td>"), "{table}");
        assert_eq!(html("~~a~~ **b** `c`").trim(), "<p><del>a</del> <strong>b</strong> <code>c</code></p>");
        assert!(html("- [x] done\n- [ ] not yet").contains("☑ done"));
        assert!(html("```sh\ncurl <x>\n```").contains("curl &lt;x&gt;"));
        assert!(html("<details open><summary>More</summary>x</details>").contains("<summary>More</summary>"));
    }

    #[test]
    fn long_texts_are_written_in_short_pieces_and_stay_as_they_are() {
        for unit in ["&", "£", "« »", "&amp;", "&CounterClockwiseContourIntegral;", "\u{a0}", "x"] {
            let text = unit.repeat(20_000 / unit.len());
            let short = with_short_texts(&text);
            let longest = short.split("<!---->").map(str::len).max().unwrap_or_default();
            assert!(longest <= 2 * SHORT_TEXT + 64, "{unit}: {longest}");
            assert_eq!(short.replace("<!---->", ""), text, "{unit}");
            assert!(!short.contains("&am<!---->") && !short.contains("&Counter<!---->"), "{unit}");
            let (once, page) = (html(unit), html(&text));
            let inner = |html: &str| html.trim().trim_start_matches("<p>").trim_end_matches("</p>").to_owned();
            assert_eq!(inner(&page).len(), inner(&once).len() * (text.len() / unit.len()), "{unit}");
        }
    }

    #[test]
    fn headings_are_below_the_headings_of_the_page_and_have_own_ids() {
        let page = html("# The *tool*\n\n## Use\n\n## Use\n\n[to it](#use)\n");
        assert!(page.contains("<h3 id=\"user-content-the-tool\">The <em>tool</em>"), "{page}");
        assert!(
            page.contains("<h4 id=\"user-content-use\">") && page.contains("<h4 id=\"user-content-use-1\">"),
            "{page}"
        );
        assert!(page.contains("href=\"#user-content-use\""), "{page}");
        assert!(page.contains("aria-label=\"Link to: The tool\""), "{page}");
        assert!(!html("<h1>x</h1><h2>y</h2>").contains("<h"), "raw headings would rank as headings of the page");
    }

    #[test]
    fn markdown_runs_no_scripts_and_loads_nothing_from_other_sites() {
        for text in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)><animate/></svg>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](vbscript:x)",
            "<iframe src=\"/\"></iframe>",
            "<form action=\"/logout\" method=post><input name=csrf><button>x</button></form>",
            "<style>*{display:none}</style>",
            "<p style=\"position:fixed\" class=\"notice bad\">x</p>",
            "<link rel=stylesheet href=https://evil.example>",
            "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
            "<base href=https://evil.example>",
            "![x](https://evil.example/track.png)",
            "<img src=\"https://evil.example/track.png\" srcset=\"https://evil.example/2x.png 2x\">",
            "<img src=\"//evil.example/track.png\">",
            "<video src=https://evil.example/x autoplay></video><audio src=x></audio><object data=x></object>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "[a]: javascript:x\n\n[a]",
            "<input type=checkbox autofocus onfocus=alert(1)>",
            "<x id=content><a name=content>",
        ] {
            let page = html(text);
            for bad in [
                "<script",
                "onerror",
                "onload",
                "javascript:",
                "<iframe",
                "<form",
                "<input",
                "<button",
                "<style",
                "style=",
                "class=\"notice",
                "<link",
                "<meta",
                "<base",
                "src=\"http",
                "srcset",
                "src=\"//",
                "<svg",
                "data:",
                "<video",
                "<object",
                "onfocus",
                "id=\"content\"",
                "vbscript",
            ] {
                assert!(!page.to_lowercase().contains(bad), "{text} has {bad}: {page}");
            }
        }
    }

    #[test]
    fn links_and_images_lead_to_files_other_sites_or_nowhere() {
        assert!(html("[n](notes%20%26%20more.txt#x)").contains("href=\"/files/Link\""));
        assert!(html("![The logo](./logo.png)").contains("src=\"/files/Image\""));
        assert!(html("![The logo](./logo.png)").contains("alt=\"The logo\""));
        assert!(html("<img src=logo.png alt=Logo>").contains("src=\"/files/Image\""));
        for nowhere in
            ["[n](../logo.png)", "[n](/logout)", "[n](//evil.example)", "[n](nothing.txt)", "[n](a/logo.png)"]
        {
            assert!(!html(nowhere).contains("href"), "{nowhere}: {}", html(nowhere));
        }
        let away = html("[n](https://example.org/x?a=1&b=2)");
        assert!(away.contains("href=\"https://example.org/x?a=1&amp;b=2\" rel=\"nofollow noopener ugc\""), "{away}");
        let remote = html("![Build *passing*](https://ci.example/b.svg)");
        assert!(remote.contains("<a href=\"https://ci.example/b.svg\""), "{remote}");
        assert!(remote.contains(">[image: Build passing]</a>"), "{remote}");
        let badge = html("[![Build](https://ci.example/b.svg)](https://ci.example)");
        assert_eq!(badge.matches("<a ").count(), 1, "{badge}");
        assert!(html("![](gone.png)").contains("[image: no description]"));
    }

    #[test]
    fn malicious_markdown_renders_quickly() {
        let started = Instant::now();
        for text in [
            ">".repeat(100_000),
            "- ".repeat(100_000),
            "<div>".repeat(50_000),
            format!("{}\n", "<b>".repeat(60_000)),
            "*a **b ".repeat(40_000),
            "[".repeat(200_000),
            "![".repeat(100_000),
            format!("|{}\n|{}\n{}", "a|".repeat(20_000), "-|".repeat(20_000), "|\n".repeat(40_000)),
            format!("[a]: /{}\n{}", "x".repeat(50_000), "[a] ".repeat(50_000)),
            "<details>\n\n".repeat(20_000),
            "`".repeat(200_000),
        ] {
            html(&text);
        }
        let seconds = started.elapsed().as_secs();
        assert!(seconds < 60, "{seconds} s, unoptimized");
        assert!(html(&">".repeat(1000)).matches("<blockquote").count() <= DEEPEST);
        assert!(html(&"<b>".repeat(3000)).contains("&lt;b&gt;"), "tags beyond the limit are shown as text");
    }
}
