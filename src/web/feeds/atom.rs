//! An Atom feed (RFC 4287) as XML.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;

/// A feed.
pub struct Feed {
    pub id: String,
    pub title: String,
    /// The address of the feed itself.
    pub own_url: String,
    /// The page with the same content.
    pub page_url: String,
    pub updated: String,
    pub entries: Vec<Entry>,
}

/// An entry of a feed.
pub struct Entry {
    pub id: String,
    pub title: String,
    pub url: String,
    pub published: String,
    pub author: String,
    /// HTML.
    pub content: String,
}

type Xml = Writer<Vec<u8>>;

/// Writes the feed.
///
/// # Errors
/// Never: memory can always be written to.
pub fn write(feed: &Feed) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new(Vec::new());
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    xml.create_element("feed").with_attribute(("xmlns", "http://www.w3.org/2005/Atom")).write_inner_content(|xml| {
        text(xml, "id", &feed.id)?;
        text(xml, "title", &feed.title)?;
        text(xml, "updated", &feed.updated)?;
        link(xml, "self", "application/atom+xml", &feed.own_url)?;
        link(xml, "alternate", "text/html", &feed.page_url)?;
        text(xml, "generator", "Packhouse")?;
        feed.entries.iter().try_for_each(|entry| write_entry(xml, entry))
    })?;
    Ok(xml.into_inner())
}

fn write_entry(xml: &mut Xml, entry: &Entry) -> io::Result<()> {
    xml.create_element("entry").write_inner_content(|xml| {
        text(xml, "id", &entry.id)?;
        text(xml, "title", &entry.title)?;
        text(xml, "published", &entry.published)?;
        text(xml, "updated", &entry.published)?;
        xml.create_element("author").write_inner_content(|xml| text(xml, "name", &entry.author))?;
        link(xml, "alternate", "text/html", &entry.url)?;
        let content = xml.create_element("content").with_attribute(("type", "html"));
        content.write_text_content(BytesText::new(&entry.content)).map(drop)
    })?;
    Ok(())
}

fn text(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}

fn link(xml: &mut Xml, rel: &str, kind: &str, url: &str) -> io::Result<()> {
    let link = xml.create_element("link").with_attribute(("rel", rel)).with_attribute(("type", kind));
    link.with_attribute(("href", url)).write_empty().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_a_feed_is_escaped() {
        let nasty = "<b>&\"'</b>".to_owned();
        let entry = Entry {
            id: "urn:uuid:1".to_owned(),
            title: nasty.clone(),
            url: nasty.clone(),
            published: "2026-11-27T09:00:00Z".to_owned(),
            author: nasty.clone(),
            content: nasty.clone(),
        };
        let feed = Feed {
            id: "urn:uuid:2".to_owned(),
            title: nasty.clone(),
            own_url: nasty.clone(),
            page_url: nasty,
            updated: "2026-11-27T09:00:00Z".to_owned(),
            entries: vec![entry],
        };
        let xml = String::from_utf8(write(&feed).unwrap()).unwrap();
        assert!(!xml.contains("<b>") && !xml.contains("&\""), "{xml}");
        assert!(xml.contains("<title>&lt;b&gt;&amp;"), "{xml}");
    }
}
