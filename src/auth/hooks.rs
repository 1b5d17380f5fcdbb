//! The webhooks that an address is about.

use super::call::Call;
use crate::domain::ids::{DeliveryId, HookId};
use crate::error::{Result, What};
use crate::registry::access::HooksOf;

/// The owner of the webhooks that the address is about: the organization in the path, or else the signed-in user.
///
/// # Errors
/// As [`Call::part`].
pub async fn hooks_of(call: &Call) -> Result<HooksOf> {
    match call.has_part("org") {
        true => Ok(HooksOf::Organization(call.part("org", What::Organization).await?)),
        false => Ok(HooksOf::SignedInUser),
    }
}

/// The webhook.
///
/// # Errors
/// As [`Call::part`].
pub async fn hook_id(call: &Call) -> Result<HookId> {
    Ok(HookId(call.part("hook", What::Hook).await?))
}

/// The webhook and one of its deliveries.
///
/// # Errors
/// As [`Call::part`].
pub async fn delivery_ids(call: &Call) -> Result<(HookId, DeliveryId)> {
    Ok((hook_id(call).await?, DeliveryId(call.part("delivery", What::Delivery).await?)))
}
