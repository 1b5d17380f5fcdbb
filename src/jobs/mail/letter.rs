//! What mails say. Each is short plain text, and the same text as HTML.

use crate::domain::address::{self, HookPages};
use crate::domain::clock::Timestamp;
use crate::domain::mail::{FactorChange, Facts};
use crate::domain::names::OwnerName;

/// A mail's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub subject: String,
    paragraphs: Vec<String>,
    /// The label of a link, and its address.
    link: Option<(&'static str, String)>,
    /// What follows the link.
    after: Vec<String>,
    /// Why the reader got it.
    footer: String,
}

/// The text of a mail that `packhouse mail test` sends.
pub fn test_letter(root: &str) -> Letter {
    Letter {
        subject: "Test mail from Packhouse".to_owned(),
        paragraphs: vec![format!("Packhouse at {root} can send mail.")],
        link: None,
        after: Vec::new(),
        footer: "An administrator of the server sent this with packhouse mail test.".to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Letter {
    /// The plain text.
    pub fn text(&self) -> String {
        let mut parts = self.paragraphs.clone();
        parts.extend(self.link.as_ref().map(|(label, url)| format!("{label}:\n{url}")));
        parts.extend(self.after.iter().cloned());
        parts.push(format!("-- \n{}", self.footer));
        parts.join("\n\n") + "\n"
    }

    /// The same as HTML, without pictures, scripts or style sheets.
    pub fn html(&self) -> String {
        let paragraph = |text: &String| format!("<p>{}</p>\n", escape(text).replace('\n', "<br>\n"));
        let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\"><body>\n");
        html.extend(self.paragraphs.iter().map(paragraph));
        if let Some((label, url)) = &self.link {
            html.push_str(&format!("<p><a href=\"{}\">{}</a></p>\n", escape(url), escape(label)));
        }
        html.extend(self.after.iter().map(paragraph));
        html.push_str(&format!("<p><small>{}</small></p>\n</body></html>\n", escape(&self.footer)));
        html
    }
}

/// ` from 192.0.2.1`, if the address is known.
fn from(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!(" from the address {address}") }
}

/// Who did it: the reader, as far as anybody knows, or somebody else.
fn by(maker: Option<&String>) -> String {
    maker.map_or_else(String::new, |maker| format!(" by {maker}"))
}

/// The minute, in UTC.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    let minute = text.get(..16).unwrap_or(&text);
    format!("{} UTC", minute.replace('T', " "))
}

/// A size with one digit after the point at most.
fn size(bytes: u64) -> String {
    let (gib, mib) = (bytes >> 30, bytes >> 20);
    if gib > 0 { format!("{gib} GiB") } else { format!("{mib} MiB") }
}

/// What a link is worth: it ends, and it works once.
const ONCE: &str = "The link works once.";
const IGNORE: &str = "If you didn't ask for this, you can ignore this email.";
const WAS_IT_YOU: &str = "If this was you, there is nothing to do. If it wasn't, change your password and end all sessions \
                          you don't recognize:";
const IS_PASSKEY_YOURS: &str = "If this was you, there is nothing to do. If it wasn't, remove the passkey, change your \
                                password, and end all sessions you don't recognize:";
const SECURITY: &str = "Open security settings";

/// Writes a mail to a user. `code` is the secret of its link; `root` is the site's own address.
pub fn write(facts: &Facts, user: &OwnerName, code: Option<&str>, (root, at): (&str, Timestamp)) -> Letter {
    let url = |path: &str| format!("{root}{path}");
    let link = |page: &str| url(&format!("/login/{page}?code={}", code.unwrap_or_default()));
    let when = minute(at);
    let (subject, first, link, after) = match facts {
        Facts::Confirmation => (
            "Confirm your email address".to_owned(),
            format!("The account {user} at {root} has this email address. Confirm it, and you can sign in with it."),
            Some(("Confirm email address", link("confirm-email"))),
            vec![format!("{ONCE} It expires after 24 hours."), IGNORE.to_owned()],
        ),
        Facts::Reset { from: address } => (
            "Reset your password".to_owned(),
            format!("Somebody asked{} to reset the password of the account {user} at {root}.", from(address)),
            Some(("Choose a new password", link("reset"))),
            vec![
                format!("{ONCE} It expires after 30 minutes."),
                format!("{IGNORE} Your password stays as it is."),
            ],
        ),
        Facts::Invitation { by: maker } => (
            "You have an account on Packhouse".to_owned(),
            format!(
                "{} created the account {user} for you at {root}, a registry for files. Choose a password to use it.",
                if maker.is_empty() { "An administrator" } else { maker }
            ),
            Some(("Choose a password", link("invitation"))),
            vec![format!("{ONCE} It expires after 7 days. After that, ask an administrator for another one.")],
        ),
        Facts::EmailChanged { to, by: maker } => (
            "Your email address was changed".to_owned(),
            format!("The email address of your account {user} at {root} was changed to {to}{}.", by(maker.as_ref())),
            Some((SECURITY, url("/user/settings/security"))),
            vec![
                "This address can no longer be used to sign in. If you didn't change it, change your password, and ask an \
                 administrator to restore your address."
                    .to_owned(),
            ],
        ),
        Facts::TokenCreated { name, scopes, by: maker, from: address } => (
            "New access token".to_owned(),
            format!(
                "The access token \"{name}\" ({}) was created for your account {user} at {root}{}{} on {when}.\n\n\
                 If you don't recognize it, revoke it and change your password:",
                scopes.join(", "),
                by(maker.as_ref()),
                from(address)
            ),
            Some(("Show access tokens", url("/user/settings/tokens"))),
            Vec::new(),
        ),
        Facts::NewDevice { device, from: address } => (
            "Sign-in from a new device".to_owned(),
            format!(
                "Somebody signed in to your account {user} at {root} on {when} with {}{}.\n\n{WAS_IT_YOU}",
                if device.is_empty() { "a program and your password" } else { device },
                from(address)
            ),
            Some((SECURITY, url("/user/settings/security"))),
            Vec::new(),
        ),
        Facts::PasswordChanged { by: maker, from: address } => (
            "Your password was changed".to_owned(),
            format!(
                "The password of your account {user} at {root} was changed{}{} on {when}. You've been signed out on all \
                 other devices.",
                by(maker.as_ref()),
                from(address)
            ),
            Some(("Reset your password if it wasn't you", url("/login/forgot"))),
            Vec::new(),
        ),
        Facts::TwoFactorChanged { change, by: maker, from: address } => (
            match change {
                FactorChange::On => "Two-factor authentication was turned on",
                FactorChange::Off => "Two-factor authentication was turned off",
                FactorChange::NewCodes => "New recovery codes were created",
                FactorChange::PasskeyAdded => "A passkey was added",
                FactorChange::PasskeyRemoved => "A passkey was removed",
            }
            .to_owned(),
            format!(
                "{} for your account {user} at {root}{}{} on {when}.\n\n{}",
                match change {
                    FactorChange::On => "Two-factor authentication was turned on",
                    FactorChange::Off => "Two-factor authentication was turned off",
                    FactorChange::NewCodes => "New recovery codes, which replace the old ones, were created",
                    FactorChange::PasskeyAdded => "A passkey, which signs you in without a password, was added",
                    FactorChange::PasskeyRemoved => "A passkey was removed",
                },
                by(maker.as_ref()),
                from(address),
                if *change == FactorChange::PasskeyAdded { IS_PASSKEY_YOURS } else { WAS_IT_YOU }
            ),
            Some((SECURITY, url("/user/settings/security"))),
            Vec::new(),
        ),
        Facts::PasskeyCopied { user: of, name, from: address } => {
            let is_own = *of == user.to_string();
            let whose = if is_own { format!("of your account {of}") } else { format!("of {of}") };
            let what_to_do = match is_own {
                true => "Remove it, and add a new one if you still use that device:",
                false => "Ask them to remove it and to add a new one. Their recent sign-ins are in the audit log:",
            };
            let page = match is_own {
                true => (SECURITY, url("/user/settings/security")),
                false => ("Show the audit log", url(&address::audit_of_actor(of))),
            };
            (
                format!("A passkey of {of} may have been copied"),
                format!(
                    "The passkey \"{name}\" {whose} at {root} was refused on {when}{}, because it counts fewer uses than \
                     before. Either somebody has a copy of it, or its device was reset. {what_to_do}",
                    from(address)
                ),
                Some(page),
                Vec::new(),
            )
        }
        Facts::HookOff { owner, host, reason } => (
            format!("A webhook of {owner} was turned off"),
            format!(
                "A webhook of {owner} to {host} failed for a week, so Packhouse turned it off. The last error: {reason}.\n\n\
                 Repair the receiver, then turn the webhook on again."
            ),
            Some(("Show webhooks", url(&hooks_page(owner, user)))),
            Vec::new(),
        ),
        Facts::TokenExpires { name, user: of, expires_at } => (
            "An access token expires soon".to_owned(),
            format!(
                "The access token \"{name}\" of {of} at {root} expires on {}. Programs that use it need a new one.",
                minute(*expires_at)
            ),
            Some(("Show access tokens", url(&tokens_page(of)))),
            Vec::new(),
        ),
        Facts::DiskNearlyFull { free_bytes, days_left } => (
            "The disk is nearly full".to_owned(),
            format!(
                "The disk that Packhouse at {root} stores its files on has {} left.{} When it is full, nobody can upload.",
                size(*free_bytes),
                days_left.map_or_else(String::new, |days| format!(
                    " As it grows now, this is enough for about {days} day{}.",
                    if days == 1 { "" } else { "s" }
                ))
            ),
            Some(("Show what uses the space", url("/-/admin"))),
            vec!["Make room, or set quotas and retention rules.".to_owned()],
        ),
        Facts::OldBackup { made_at } => (
            "The last backup is old".to_owned(),
            format!("The last backup of Packhouse at {root} was made on {}.", minute(*made_at)),
            Some(("Read how to make backups", url("/docs/operations/backup/"))),
            Vec::new(),
        ),
    };
    let footer = match facts.kind().is_optional() {
        true => format!("You can turn such email off: {}", url("/user/settings/notifications")),
        false => format!("Packhouse at {root} sent this to the user {user}."),
    };
    let paragraphs = first.split("\n\n").map(str::to_owned).collect();
    Letter { subject, paragraphs, link, after, footer }
}

/// The page with the webhooks of an owner.
fn hooks_page(owner: &str, reader: &OwnerName) -> String {
    let org = owner.parse::<OwnerName>().ok().filter(|owner| owner.lower() != reader.lower());
    HookPages::of(org.as_ref()).list().to_owned()
}

/// The page with the tokens of a user or a robot.
fn tokens_page(user: &str) -> String {
    let robot = OwnerName::of_account(user).ok().and_then(|account| account.as_robot());
    robot.map_or_else(|| "/user/settings/tokens".to_owned(), |(org, robot)| address::org_robot(&org, &robot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_the_same_as_text_and_as_html() {
        let user: OwnerName = "ada".parse().unwrap();
        let at = Timestamp::from_unix(1_767_323_045);
        let facts = Facts::TokenCreated {
            name: "<b>\"ci\"</b>".to_owned(),
            scopes: vec!["read:package".to_owned()],
            by: Some("admin".to_owned()),
            from: "192.0.2.1".to_owned(),
        };
        let letter = write(&facts, &user, None, ("https://p.example.org", at));
        let (text, html) = (letter.text(), letter.html());
        assert!(text.contains("The access token \"<b>\"ci\"</b>\" (read:package) was created"), "{text}");
        assert!(text.contains("by admin from the address 192.0.2.1 on 2026-01-02 03:04 UTC"), "{text}");
        assert!(text.contains("Show access tokens:\nhttps://p.example.org/user/settings/tokens\n"), "{text}");
        assert!(html.contains("&lt;b&gt;&quot;ci&quot;&lt;/b&gt;") && !html.contains("<b>"), "{html}");
        assert!(
            html.contains("<a href=\"https://p.example.org/user/settings/tokens\">Show access tokens</a>"),
            "{html}"
        );
    }
}
