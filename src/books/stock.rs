//! Stock of each item, first in first out: what leaves it costs what the oldest of it cost.

use std::collections::{HashMap, VecDeque};

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, cents, share};

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
}

/// The stock of all items, in the home currency.
#[derive(Debug, Default)]
pub(super) struct Stock<'a> {
    shelves: HashMap<&'a str, Shelf>,
}

impl<'a> Stock<'a> {
    /// Puts a purchase on the shelf.
    pub(super) fn buy(&mut self, item: &'a str, quantity: Decimal, value: Decimal) {
        let shelf = self.shelves.entry(item).or_default();
        let layer = Layer { quantity, value };
        shelf.layers.push_back(layer);
        shelf.last = Some(layer);
    }

    /// Takes a quantity from the shelf, and returns its cost. What is not there costs what the last
    /// purchase cost, or `otherwise` a piece.
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
        let missing = shelf.cost_of(left, otherwise)?;
        cost.checked_add(missing)
            .ok_or_else(|| TOO_LARGE.to_owned())
    }

    /// Puts back what was sold, at the cost of the last purchase, and returns that cost. It is the next to
    /// leave: what was sold had come in before everything that is still there.
    pub(super) fn put_back(
        &mut self,
        item: &'a str,
        quantity: Decimal,
        otherwise: Decimal,
    ) -> Result<Decimal, String> {
        let shelf = self.shelves.entry(item).or_default();
        let value = shelf.cost_of(quantity, otherwise)?;
        shelf.layers.push_front(Layer { quantity, value });
        Ok(value)
    }
}

impl Shelf {
    fn cost_of(&self, quantity: Decimal, otherwise: Decimal) -> Result<Decimal, String> {
        if quantity.is_zero() {
            return Ok(Decimal::ZERO);
        }
        let cost = match self.last {
            Some(last) => share(last.value, quantity, last.quantity),
            None => quantity.checked_mul(otherwise).map(cents),
        };
        cost.ok_or_else(|| TOO_LARGE.to_owned())
    }
}
