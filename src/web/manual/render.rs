//! Renders our own Markdown as HTML, like GitHub and with the same anchors. It is not safe for untrusted text.

use crate::web::assets;
use crate::web::markdown::slug;
use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use std::collections::HashMap;
use std::fmt::Write;

/// A heading of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub level: u8,
    pub id: String,
    pub text: String,
}

/// The content of a page.
#[derive(Debug)]
pub struct Rendered {
    pub html: String,
    pub sections: Vec<Section>,
}

/// A picture, and the variant for the dark theme.
pub struct Picture {
    pub url: String,
    pub dark: Option<String>,
    /// The width and height, if known.
    pub size: Option<(u32, u32)>,
}

/// Resolves the links and pictures of a page; `None` leaves them unchanged.
pub trait Places {
    /// An address of the site, relative to the page: it leads there whatever the base path of the site is.
    fn relative(&self, to: &str) -> String;
    fn link(&self, to: &str) -> Option<String>;
    fn picture(&self, of: &str) -> Option<Picture>;
}

/// Escapes text for HTML, inside or outside of an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Renders a page.
pub fn render(markdown: &str, places: &dyn Places) -> Rendered {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let mut writer = Writer {
        places,
        events: Vec::new(),
        sections: Vec::new(),
        slugs: HashMap::new(),
        codes: 0,
        columns: Vec::new(),
        column: 0,
        in_head: false,
    };
    let mut parser = Parser::new_ext(markdown, options);
    while let Some(event) = parser.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                writer.heading(level, inner(&mut parser, TagEnd::Heading(level)))
            }
            Event::Start(Tag::CodeBlock(kind)) => writer.code(&kind, &inner(&mut parser, TagEnd::CodeBlock)),
            Event::Start(Tag::Image { dest_url, .. }) => {
                writer.image(&dest_url, &text_of(&inner(&mut parser, TagEnd::Image)));
            }
            event => writer.event(event),
        }
    }
    let mut text = String::new();
    html::push_html(&mut text, writer.events.into_iter());
    Rendered { html: text, sections: writer.sections }
}

/// The events up to an end tag.
fn inner<'a>(parser: &mut Parser<'a>, end: TagEnd) -> Vec<Event<'a>> {
    parser.take_while(|event| *event != Event::End(end)).collect()
}

fn text_of(events: &[Event<'_>]) -> String {
    let texts = events.iter().map(|event| match event {
        Event::Text(text) | Event::Code(text) => text,
        Event::SoftBreak | Event::HardBreak => " ",
        _ => "",
    });
    texts.collect()
}

struct Writer<'a, 'p> {
    places: &'p dyn Places,
    events: Vec<Event<'a>>,
    sections: Vec<Section>,
    /// How often each anchor was used.
    slugs: HashMap<String, u32>,
    codes: u32,
    /// The column alignments of the current table.
    columns: Vec<Alignment>,
    column: usize,
    in_head: bool,
}

impl<'a> Writer<'a, '_> {
    fn push(&mut self, text: impl Into<CowStr<'a>>) {
        self.events.push(Event::InlineHtml(text.into()));
    }

    /// Handles an event: resolves links, and writes table cells without the attribute `style`, which the content
    /// security policy forbids.
    fn event(&mut self, event: Event<'a>) {
        match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = self.places.link(&dest_url).map_or(dest_url, CowStr::from);
                self.events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            Event::Start(Tag::Table(columns)) => {
                self.columns = columns;
                self.push("<div class=\"table-box\"><table>");
            }
            Event::Start(Tag::TableHead) => {
                (self.column, self.in_head) = (0, true);
                self.push("<thead><tr>");
            }
            Event::End(TagEnd::TableHead) => {
                self.in_head = false;
                self.push("</tr></thead><tbody>\n");
            }
            Event::Start(Tag::TableRow) => {
                self.column = 0;
                self.push("<tr>");
            }
            Event::End(TagEnd::TableRow) => self.push("</tr>\n"),
            Event::Start(Tag::TableCell) => self.cell(),
            Event::End(TagEnd::TableCell) => self.end_cell(),
            Event::End(TagEnd::Table) => self.push("</tbody></table></div>\n"),
            event => self.events.push(event),
        }
    }

    fn cell(&mut self) {
        let class = match self.columns.get(self.column) {
            Some(Alignment::Right) => " class=\"number\"",
            _ => "",
        };
        self.column += 1;
        let tag = if self.in_head { "th scope=\"col\"" } else { "td" };
        self.push(format!("<{tag}{class}>"));
    }

    /// An empty cell in the head of a table is not a header cell.
    fn end_cell(&mut self) {
        let heads_nothing = matches!(self.events.last(), Some(Event::InlineHtml(tag)) if tag.starts_with("<th "));
        if self.in_head && heads_nothing {
            self.events.pop();
            return self.push("<td></td>");
        }
        self.push(if self.in_head { "</th>" } else { "</td>" });
    }

    /// A heading links to itself, so that people can copy its address.
    fn heading(&mut self, level: HeadingLevel, inner: Vec<Event<'a>>) {
        let text = text_of(&inner);
        let wanted = slug(&text);
        let count = self.slugs.entry(wanted.clone()).or_default();
        let id = if *count == 0 { wanted } else { format!("{wanted}-{count}") };
        *count += 1;
        let leads =
            level != HeadingLevel::H1 && !inner.iter().any(|event| matches!(event, Event::Start(Tag::Link { .. })));
        let anchor = escape(&id);
        self.push(format!("<{level} id=\"{anchor}\">"));
        if leads {
            self.push(format!("<a class=\"heading-link\" href=\"#{anchor}\">"));
        }
        for event in inner {
            self.event(event);
        }
        self.push(if leads { format!("</a></{level}>\n") } else { format!("</{level}>\n") });
        if matches!(level, HeadingLevel::H2 | HeadingLevel::H3) {
            self.sections.push(Section { level: level as u8, id, text });
        }
    }

    /// Code to copy. JavaScript shows the button.
    fn code(&mut self, kind: &CodeBlockKind<'a>, inner: &[Event<'a>]) {
        self.codes += 1;
        let id = format!("code-{}", self.codes);
        let language = match kind {
            CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or_default(),
            CodeBlockKind::Indented => "",
        };
        let class = match language {
            "" => String::new(),
            language => format!(" class=\"language-{}\"", escape(language)),
        };
        let icon = self.places.relative(&assets::url("icons.svg"));
        let mut text = String::new();
        let code = text_of(inner);
        let _ = writeln!(
            text,
            "<div class=\"copy\"><pre><code id=\"{id}\"{class}>{}</code></pre><button class=\"btn slim\" type=\"button\" \
             hidden data-copy-from=\"{id}\" aria-label=\"Copy\"><svg class=\"icon\" aria-hidden=\"true\">\
             <use href=\"{icon}#copy\"/></svg></button></div>",
            escape(code.strip_suffix('\n').unwrap_or(&code)),
        );
        self.push(text);
    }

    fn image(&mut self, url: &str, alt: &str) {
        let alt = escape(alt);
        let Some(picture) = self.places.picture(url) else {
            return self.push(format!("<img src=\"{}\" alt=\"{alt}\">", escape(url)));
        };
        let size = picture.size.map(|(width, height)| format!(" width=\"{width}\" height=\"{height}\""));
        let size = size.unwrap_or_default();
        let only = if picture.dark.is_some() { " class=\"only-light\"" } else { "" };
        self.push(format!("<img{only} src=\"{}\" alt=\"{alt}\" loading=\"lazy\"{size}>", picture.url));
        if let Some(dark) = picture.dark {
            self.push(format!("<img class=\"only-dark\" src=\"{dark}\" alt=\"{alt}\" loading=\"lazy\"{size}>"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Somewhere;

    impl Places for Somewhere {
        fn relative(&self, to: &str) -> String {
            to.to_owned()
        }

        fn link(&self, to: &str) -> Option<String> {
            to.ends_with(".md").then(|| format!("/docs/{}/", to.trim_end_matches(".md")))
        }

        fn picture(&self, of: &str) -> Option<Picture> {
            let known = of == "a.webp";
            known.then(|| Picture { url: "/a".to_owned(), dark: Some("/b".to_owned()), size: Some((640, 400)) })
        }
    }

    fn html(markdown: &str) -> String {
        render(markdown, &Somewhere).html
    }

    #[test]
    fn headings_have_the_same_anchors_as_on_github() {
        let page = render("# One\n## `GET`, or *not*?\n### Twice\n## Twice\n#### Deep\n", &Somewhere);
        let sections: Vec<_> = page.sections.iter().map(|s| (s.level, s.id.as_str(), s.text.as_str())).collect();
        assert_eq!(sections, [(2, "get-or-not", "GET, or not?"), (3, "twice", "Twice"), (2, "twice-1", "Twice")]);
        assert!(page.html.starts_with("<h1 id=\"one\">One</h1>\n<h2 id=\"get-or-not\"><a class=\"heading-link\""));
    }

    #[test]
    fn tables_have_no_inline_styles() {
        let page = html("| a | b |\n|---|---:|\n| [x](y.md) | 1 |\n");
        assert_eq!(
            page,
            "<div class=\"table-box\"><table><thead><tr><th scope=\"col\">a</th><th scope=\"col\" class=\"number\">b</th>\
             </tr></thead><tbody>\n<tr><td><a href=\"/docs/y/\">x</a></td><td class=\"number\">1</td></tr>\n\
             </tbody></table></div>\n"
        );
    }

    #[test]
    fn an_empty_table_cell_is_not_a_heading() {
        assert!(html("| | b |\n|---|---|\n| a | |\n").contains("<thead><tr><td></td><th scope=\"col\">b</th>"));
    }

    #[test]
    fn code_has_a_copy_button_and_is_escaped() {
        let page = html("```sh\necho \"<b>\" && true\n```\n");
        assert!(
            page.contains(
                "<code id=\"code-1\" class=\"language-sh\">echo &quot;&lt;b&gt;&quot; &amp;&amp; true</code>"
            )
        );
        assert!(page.contains("hidden data-copy-from=\"code-1\" aria-label=\"Copy\""));
    }

    #[test]
    fn images_have_dimensions_and_a_dark_variant() {
        let page = html("![What is *seen*](a.webp)\n");
        assert_eq!(page.matches("alt=\"What is seen\" loading=\"lazy\" width=\"640\" height=\"400\"").count(), 2);
        assert!(html("![x](https://elsewhere.example/a.png)").contains("src=\"https://elsewhere.example/a.png\""));
    }

    #[test]
    fn footnotes_link_to_their_text() {
        let page = html("Word[^1].\n\n[^1]: What it means.\n");
        assert!(page.contains("href=\"#1\"") && page.contains("id=\"1\""), "{page}");
    }
}
