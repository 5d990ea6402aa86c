//! Stock of each item, first in first out: what leaves it costs what the oldest of it cost.

use std::collections::{HashMap, VecDeque};

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, convert, share};

/// A quantity that came in at one time and is still there.
#[derive(Debug, Clone, Copy)]
struct Layer {
    quantity: Decimal,
    value: Decimal,
}

/// The stock of one item.
#[derive(Debug, Default)]
struct Shelf {
    layers: VecDeque<Layer>,
    /// Quantity and value of the last purchase.
    last: Option<Layer>,
    /// The quantity that left before it came in, and the cost that it was given.
    owed: Option<Layer>,
}

/// The stock of all items, in the home currency.
#[derive(Debug, Default)]
pub(super) struct Stock<'a> {
    shelves: HashMap<&'a str, Shelf>,
}

impl<'a> Stock<'a> {
    /// Puts a purchase on the shelf. Returns how much more than was assumed it has cost to buy what had
    /// left before.
    pub(super) fn buy(
        &mut self,
        item: &'a str,
        quantity: Decimal,
        value: Decimal,
    ) -> Result<Decimal, String> {
        let shelf = self.shelves.entry(item).or_default();
        let layer = Layer { quantity, value };
        shelf.last = Some(layer);
        let (left, correction) = shelf.cover(layer)?;
        shelf.layers.extend(left);
        Ok(correction)
    }

    /// Takes a quantity from the shelf, and returns its cost. A quantity that is not there costs as much as
    /// the last purchase, or `otherwise` a piece.
    pub(super) fn take(
        &mut self,
        item: &'a str,
        quantity: Decimal,
        otherwise: Decimal,
    ) -> Result<Decimal, String> {
        let shelf = self.shelves.entry(item).or_default();
        let (mut left, mut cost) = (quantity, Decimal::ZERO);
        while left > Decimal::ZERO {
            let Some(layer) = shelf.layers.front_mut() else {
                break;
            };
            if layer.quantity <= left {
                left -= layer.quantity;
                cost = cost.checked_add(layer.value).ok_or(TOO_LARGE)?;
                shelf.layers.pop_front();
            } else {
                let part = share(layer.value, left, layer.quantity).ok_or(TOO_LARGE)?;
                layer.quantity -= left;
                layer.value -= part;
                cost = cost.checked_add(part).ok_or(TOO_LARGE)?;
                left = Decimal::ZERO;
            }
        }
        if left.is_zero() {
            return Ok(cost);
        }
        let missing = shelf.cost_of(left, otherwise)?;
        shelf.owe(left, missing).ok_or(TOO_LARGE)?;
        cost.checked_add(missing)
            .ok_or_else(|| TOO_LARGE.to_owned())
    }

    /// Puts back what was sold, at the cost of the last purchase. It is the next to leave: what was sold had
    /// come in before everything that is still there. Returns that cost, less what it corrects as a purchase
    /// does.
    pub(super) fn put_back(
        &mut self,
        item: &'a str,
        quantity: Decimal,
        otherwise: Decimal,
    ) -> Result<Decimal, String> {
        let shelf = self.shelves.entry(item).or_default();
        let value = shelf.cost_of(quantity, otherwise)?;
        let (left, correction) = shelf.cover(Layer { quantity, value })?;
        if let Some(left) = left {
            shelf.layers.push_front(left);
        }
        value
            .checked_sub(correction)
            .ok_or_else(|| TOO_LARGE.to_owned())
    }
}

impl Shelf {
    fn cost_of(&self, quantity: Decimal, otherwise: Decimal) -> Result<Decimal, String> {
        let cost = match self.last {
            Some(last) => share(last.value, quantity, last.quantity),
            None => convert(quantity, otherwise),
        };
        cost.ok_or_else(|| TOO_LARGE.to_owned())
    }

    fn owe(&mut self, quantity: Decimal, value: Decimal) -> Option<()> {
        let owed = self.owed.unwrap_or(Layer {
            quantity: Decimal::ZERO,
            value: Decimal::ZERO,
        });
        self.owed = Some(Layer {
            quantity: owed.quantity.checked_add(quantity)?,
            value: owed.value.checked_add(value)?,
        });
        Some(())
    }

    /// Covers what has left too early. Returns what is left of the layer, and by how much the cost that was
    /// assumed is too small.
    fn cover(&mut self, layer: Layer) -> Result<(Option<Layer>, Decimal), String> {
        let Some(owed) = self.owed.take() else {
            return Ok((Some(layer), Decimal::ZERO));
        };
        let covered = owed.quantity.min(layer.quantity);
        let cost = share(layer.value, covered, layer.quantity).ok_or(TOO_LARGE)?;
        let assumed = share(owed.value, covered, owed.quantity).ok_or(TOO_LARGE)?;
        let rest = |all: Layer, value: Decimal| Layer {
            quantity: all.quantity - covered,
            value: all.value - value,
        };
        let is_some = |layer: &Layer| !layer.quantity.is_zero();
        self.owed = Some(rest(owed, assumed)).filter(is_some);
        Ok((Some(rest(layer, cost)).filter(is_some), cost - assumed))
    }
}
