//! Names of browsers and systems for people, from `User-Agent`.

/// Marks in `User-Agent` and the browser's name. The first match wins, because other browsers claim to be Chrome and
/// Safari too.
const BROWSERS: [(&str, &str); 12] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Epiphany/", "Web"),
    ("Safari/", "Safari"),
];
/// The same for systems. Phones come first, because they also name the systems of computers.
const SYSTEMS: [(&str, &str); 9] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
];

fn find(marks: &[(&str, &'static str)], agent: &str) -> Option<&'static str> {
    marks.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
}

/// `Firefox on Linux`.
pub fn device(agent: &str) -> String {
    let own = agent.split(['/', ' ']).next().filter(|word| !word.is_empty() && *word != "Mozilla");
    let browser = find(&BROWSERS, agent).or(own).unwrap_or("Unknown browser");
    match find(&SYSTEMS, agent) {
        Some(system) => format!("{browser} on {system}"),
        None => browser.to_owned(),
    }
}

/// The icon for the device.
pub fn icon(agent: &str) -> &'static str {
    let phone = ["iPhone", "iPad", "Android", "Mobile"].iter().any(|mark| agent.contains(mark));
    if phone { "smartphone" } else { "monitor" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_and_operating_systems_have_their_common_names() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
                 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36",
                "Chrome on macOS",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile \
                 Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.14.1", "curl"),
            ("Mozilla/5.0", "Unknown browser"),
            ("", "Unknown browser"),
        ] {
            assert_eq!(device(agent), name, "{agent}");
        }
    }
}
