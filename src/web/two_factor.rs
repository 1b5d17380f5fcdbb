//! Turning two-factor authentication on and off, and the recovery codes.

use super::forms::{self, Protected};
use super::login::renew;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::confirm;
use crate::domain::ids::SessionId;
use crate::domain::names::OwnerName;
use crate::domain::public_url::PublicUrl;
use crate::error::{Error, Result};
use crate::registry::access::can_change_own;
use crate::registry::accounts::two_factor::recovery::{self, RecoveryCode};
use crate::registry::accounts::two_factor::{self, Enrolled, Seed, accept, enroll, enroll_passkeys, has_totp};
use crate::registry::accounts::two_factor::{is_enrolled, offer};
use crate::registry::caller::SignedIn;
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;

const SECURITY: &str = "/user/settings/security";

#[derive(Template)]
#[template(path = "two_factor_enroll.html")]
struct EnrollPage {
    frame: Frame,
    problems: Problems,
    /// The secret as a QR code, and spelled out.
    picture: String,
    spelled: String,
    /// The same secret encrypted, for the form to send back.
    offer: String,
}

/// The account's label in the authenticator app, with the site's name for users with accounts on several sites.
fn account(name: &OwnerName, site: Option<&PublicUrl>) -> String {
    match site {
        Some(site) => format!("{name}@{}", site.host()),
        None => name.to_string(),
    }
}

/// The QR code as a data URL.
fn picture(address: &str) -> Result<String> {
    let code = QrCode::with_error_correction_level(address, EcLevel::M).map_err(Error::internal)?;
    let svg = code.render::<svg::Color<'_>>().build();
    Ok(format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg)))
}

fn enroll_page(call: &Call, frame: Frame, user: &SignedIn, seed: &Seed, problems: Problems) -> Result<EnrollPage> {
    let address = seed.address(&account(&user.name, call.app.config.public_url.as_ref()))?;
    let sealed = offer(&call.app.key, user.id, seed, call.app.clock.now())?;
    let (picture, spelled) = (picture(&address)?, seed.spelled()?);
    Ok(EnrollPage { frame, problems, picture, spelled, offer: URL_SAFE_NO_PAD.encode(sealed) })
}

/// What the signed-in user has set up.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SetUp {
    is_on: bool,
    has_totp: bool,
    has_passkey: bool,
}

/// The signed-in user, and what they have set up.
async fn own(call: &Call) -> Result<(Frame, SignedIn, SetUp)> {
    let (frame, (user, set_up)) = frame(call, |conn, caller| {
        let user = caller.signed_in()?.clone();
        let (is_on, has_totp) = (is_enrolled(conn, user.id)?, has_totp(conn, user.id)?);
        Ok((user, SetUp { is_on, has_totp, has_passkey: caller.has_passkey() }))
    })
    .await?;
    Ok((frame, user, set_up))
}

/// `GET /user/settings/security/enroll`.
pub async fn enroll_form(call: Call) -> Result<Reply> {
    let (frame, user, known) = own(&call).await?;
    if known.has_totp {
        return Ok(Reply::to(SECURITY));
    }
    Reply::page(&enroll_page(&call, frame, &user, &Seed::generate(), Problems::default())?)
}

#[derive(Deserialize)]
pub struct Enrollment {
    offer: String,
    code: String,
    current_password: String,
}

/// `POST /user/settings/security/enroll`.
pub async fn submit_enroll(call: Call, form: Protected<Enrollment>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let (frame, user, known) = own(&call).await?;
    if known.has_totp {
        return Ok(Reply::to(SECURITY));
    }
    let sealed = URL_SAFE_NO_PAD.decode(&fields.offer).unwrap_or_default();
    let Some(seed) = accept(&call.app.key, user.id, &sealed, call.app.clock.now()) else {
        let old = "the secret has expired: scan the new QR code and enter a new code";
        let page = enroll_page(&call, frame, &user, &Seed::generate(), Problems::on("offer", old))?;
        return page.problems.reply(&page);
    };
    match set_up(&call, &fields, seed.clone()).await {
        Ok((user, done)) => codes_reply(&call, user, &done.codes, done.session, true).await,
        Err(error) => {
            let page = enroll_page(&call, frame, &user, &seed, Problems::of(error, "code")?)?;
            page.problems.reply(&page)
        }
    }
}

async fn set_up(call: &Call, fields: &Enrollment, seed: Seed) -> Result<(SignedIn, Enrolled)> {
    confirm::password(call, &fields.current_password).await?;
    let code: String = fields.code.chars().filter(|c| !c.is_whitespace()).collect();
    let (key, now) = (call.app.key.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        let done = enroll(conn, caller, &right, (&key, &seed), &code, now)?;
        Ok((caller.signed_in()?.clone(), done))
    })
    .await
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage {
    frame: Frame,
    codes: Vec<String>,
    /// The codes as a file, in a data URL.
    file: String,
    /// Whether two-factor authentication was just turned on.
    just_enrolled: bool,
}

/// Shows the codes once, with the session that replaced the one that asked.
pub(super) async fn codes_reply(
    call: &Call,
    user: SignedIn,
    codes: &[RecoveryCode],
    session: Option<SessionId>,
    just_enrolled: bool,
) -> Result<Reply> {
    let mut frame = Frame::new(&call.req, &call.app, Some(user));
    if let Some(id) = session {
        frame.csrf = forms::token_of(&call.app, id);
    }
    let codes: Vec<String> = codes.iter().map(RecoveryCode::reveal).collect();
    let text = format!("Packhouse recovery codes, each works once\n{}\n\n{}\n", frame.root, codes.join("\n"));
    let file = format!("data:text/plain;base64,{}", STANDARD.encode(text));
    let reply = Reply::page(&CodesPage { frame, codes, file, just_enrolled })?;
    renew(call, reply, session).await
}

/// A page that asks only for the password.
#[derive(Template)]
#[template(path = "two_factor_confirm.html")]
struct ConfirmPage {
    frame: Frame,
    problems: Problems,
    /// The purpose of the form.
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Codes,
    Disable,
    /// To turn it on with passkeys alone.
    Passkeys,
}

impl What {
    fn action(self) -> &'static str {
        match self {
            Self::Codes => "/user/settings/security/recovery-codes",
            Self::Disable => "/user/settings/security/disable",
            Self::Passkeys => "/user/settings/security/enroll-passkeys",
        }
    }

    /// The heading of the page, and the label of its button.
    fn title(self) -> &'static str {
        match self {
            Self::Codes => "Create new recovery codes",
            Self::Disable => "Turn off two-factor authentication",
            Self::Passkeys => "Turn on two-factor authentication with passkeys",
        }
    }

    /// Whether it makes sense for a user.
    fn fits(self, known: SetUp) -> bool {
        match self {
            Self::Codes | Self::Disable => known.is_on,
            Self::Passkeys => known.has_passkey && !known.is_on,
        }
    }
}

async fn confirm_page(call: &Call, what: What) -> Result<Reply> {
    let (frame, _, known) = own(call).await?;
    if !what.fits(known) {
        return Ok(Reply::to(SECURITY));
    }
    Reply::page(&ConfirmPage { frame, problems: Problems::default(), what })
}

async fn confirm_again(call: &Call, what: What, error: Error) -> Result<Reply> {
    let problems = Problems::of(error, confirm::FIELD)?;
    let (frame, ..) = own(call).await?;
    let page = ConfirmPage { frame, problems, what };
    page.problems.reply(&page)
}

#[derive(Deserialize)]
pub struct Confirmed {
    current_password: String,
}

/// `GET /user/settings/security/recovery-codes`.
pub async fn codes_form(call: Call) -> Result<Reply> {
    confirm_page(&call, What::Codes).await
}

/// `POST /user/settings/security/recovery-codes`.
pub async fn renew_codes(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let renew = async {
        confirm::password(&call, &fields.current_password).await?;
        let (key, now) = (call.app.key.clone(), call.app.clock.now());
        call.writing(move |conn, caller| {
            let right = can_change_own(conn, caller)?;
            Ok((caller.signed_in()?.clone(), recovery::renew(conn, caller, &right, &key, now)?))
        })
        .await
    };
    match renew.await {
        Ok((user, codes)) => codes_reply(&call, user, &codes, None, false).await,
        Err(error) => confirm_again(&call, What::Codes, error).await,
    }
}

/// `GET /user/settings/security/enroll-passkeys`.
pub async fn passkeys_form(call: Call) -> Result<Reply> {
    confirm_page(&call, What::Passkeys).await
}

/// `POST /user/settings/security/enroll-passkeys`.
pub async fn require_passkeys(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let turn_on = async {
        confirm::password(&call, &fields.current_password).await?;
        let (key, now) = (call.app.key.clone(), call.app.clock.now());
        call.writing(move |conn, caller| {
            let right = can_change_own(conn, caller)?;
            Ok((caller.signed_in()?.clone(), enroll_passkeys(conn, caller, &right, &key, now)?))
        })
        .await
    };
    match turn_on.await {
        Ok((user, done)) => codes_reply(&call, user, &done.codes, done.session, true).await,
        Err(error) => confirm_again(&call, What::Passkeys, error).await,
    }
}

/// `GET /user/settings/security/disable`.
pub async fn disable_form(call: Call) -> Result<Reply> {
    confirm_page(&call, What::Disable).await
}

/// `POST /user/settings/security/disable`.
pub async fn disable(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let removal = async {
        confirm::password(&call, &fields.current_password).await?;
        let now = call.app.clock.now();
        call.writing(move |conn, caller| {
            let right = can_change_own(conn, caller)?;
            two_factor::remove(conn, caller, &right, now)
        })
        .await
    };
    match removal.await {
        Ok(session) => {
            let reply = Reply::to(SECURITY)
                .notice(&call.app, "Two-factor authentication is off. You've been signed out on other devices.");
            renew(&call, reply, session).await
        }
        Err(error) => confirm_again(&call, What::Disable, error).await,
    }
}
