use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use shop_core::idempotency::{Answered, IdempotencyKey, InFlight, Keyed};
use shop_core::{Clock, Combiner, FieldError, Page, PageRequest, StoreError, StoreErrorKind, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ledger::{Command, Ledger, Outcome};
use crate::store::{Footprint, ProductKey, ProductQuery, ReservationQuery, Snapshot};
use crate::view::{StockView, ViewRow, complete, unknown};
use crate::{
    Adjustment, AdjustmentId, HeldKey, HoldLine, HoldRequest, ImportRow, NewAdjustment, NewProduct, Product,
    ProductEditRequest, ProductError, ProductRef, ProductStore, Reservation, ReservationId, ReservationState,
    RowOutcome, SettleOutcome, Settlement, StockCheck, validate,
};

mod config;
mod engine;
mod figures;
mod follow;
mod known;
mod maintenance;

pub use config::ProductServiceConfig;
use engine::{Engine, Job};
pub use figures::ProductFigures;
use maintenance::Maintenance;

/// The use cases of products. Clones are the same service.
///
/// Writes of all callers are gathered into transactions (ORDERING.md, group commit): while one commits, the next gathers.
///
/// # Cancel safety
/// Of every method: a dropped future drops the answer. A write that was handed over runs to its end; with an idempotency
/// key, or a reservation's id, it can be asked for again.
#[derive(Clone)]
pub struct ProductService {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    config: ProductServiceConfig,
    combiner: Combiner<Job, Result<Outcome, ProductError>>,
    in_flight: InFlight,
    room: Arc<Semaphore>,
    /// Set once the service is there: a task that looks for it before finds none, and ends.
    maintenance: OnceLock<Maintenance>,
}

impl fmt::Debug for ProductService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProductService").field("store", &self.shared.engine.store).finish_non_exhaustive()
    }
}

/// Refuses with all faults, if there are any.
fn valid(faults: Vec<FieldError>) -> Result<(), ProductError> {
    if faults.is_empty() { Ok(()) } else { Err(ProductError::Invalid(faults)) }
}

fn mismatched() -> ProductError {
    StoreError::new(StoreErrorKind::Internal, "match an outcome to its command").into()
}

impl ProductService {
    /// Starts the service: its writer, its upkeep (expired holds, old records) and its stock view, as tasks on the
    /// current tokio runtime. They end with the last clone, or with [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(store: Arc<dyn ProductStore>, clock: Arc<dyn Clock>, config: ProductServiceConfig) -> Self {
        let changes = store.changes();
        let view = StockView::new(config.view_capacity, changes.is_some());
        let engine = Arc::new(Engine::new(store, view, clock.clone(), config.race_time));
        let combiner = Combiner::spawn(config.combiner, {
            let engine = engine.clone();
            move |jobs| engine.clone().run(jobs)
        });
        let room = Arc::new(Semaphore::new(config.combiner.queue.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            maintenance: OnceLock::new(),
            engine,
            clock,
            config,
            combiner,
            in_flight: InFlight::default(),
            room,
        });
        let maintenance = Maintenance::start(&shared, changes);
        shared.maintenance.get_or_init(|| maintenance);
        Self { shared }
    }

    /// A product that is not deleted.
    ///
    /// # Errors
    /// [`ProductError::NotFound`], or the store's.
    pub async fn get(&self, product: &ProductRef) -> Result<Product, ProductError> {
        let found = self.get_many(std::slice::from_ref(product)).await?;
        found.into_iter().next().flatten().ok_or(ProductError::NotFound)
    }

    /// Products that are not deleted, one a reference, in order.
    ///
    /// # Errors
    /// The store's.
    pub async fn get_many(&self, products: &[ProductRef]) -> Result<Vec<Option<Product>>, ProductError> {
        let snapshot = self.load(&footprint_of(products)).await?;
        let live = |product: &&Product| product.deleted_at.is_none();
        let by_sku: HashMap<_, _> =
            snapshot.products.values().filter(live).map(|product| (&product.details.sku, product)).collect();
        let found = products.iter().map(|product| match product {
            ProductRef::Id(id) => snapshot.products.get(id).filter(live),
            ProductRef::Sku(sku) => by_sku.get(sku).copied(),
        });
        Ok(found.map(Option::<&Product>::cloned).collect())
    }

    /// A page of products that are not deleted.
    ///
    /// # Errors
    /// [`ProductError::Invalid`] if the cursor is of another order, or the store's.
    pub async fn list(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> Result<Page<Product>, ProductError> {
        if page.after.as_ref().is_some_and(|key| key.sort != query.sort) {
            let fault = FieldError::new("/cursor", "invalid", "is a cursor of another order");
            return Err(ProductError::Invalid(vec![fault]));
        }
        let rows = self.store().products(query, page).await?;
        Ok(Page::from_overread(rows, page.limit, |product| ProductKey::of(product, query.sort)))
    }

    /// How many products a query has, on all pages. Takes time in proportion to their number.
    ///
    /// # Errors
    /// The store's.
    pub async fn count(&self, query: &ProductQuery) -> Result<u64, ProductError> {
        Ok(self.store().count_products(query).await?)
    }

    /// Makes a product.
    ///
    /// # Errors
    /// [`ProductError::Invalid`], [`ProductError::DuplicateSku`], those of the key, or the store's.
    pub async fn create(
        &self,
        new: NewProduct,
        keyed: Option<Keyed<Product>>,
    ) -> Result<Answered<Product>, ProductError> {
        valid(validate::new_product(&new))?;
        let key = keyed.as_ref().map(|keyed| keyed.idempotency.key.clone());
        match self.submit(Command::Create { new: Box::new(new), keyed }, key.as_ref()).await? {
            Outcome::Created(created) => Ok(*created),
            _ => Err(mismatched()),
        }
    }

    /// Changes a product's details. `if_match`: only if the caller has seen the details as they are, which is so if one
    /// of these versions is the current one or differs from it by stock alone. An edit that changes nothing is no edit.
    ///
    /// # Errors
    /// [`ProductError::NotFound`], [`ProductError::VersionMismatch`], [`ProductError::Invalid`],
    /// [`ProductError::DuplicateSku`], or the store's.
    pub async fn edit(
        &self,
        product: &ProductRef,
        if_match: Option<Vec<u64>>,
        edit: ProductEditRequest,
    ) -> Result<Product, ProductError> {
        if let ProductEditRequest::Replace(details) = &edit {
            valid(validate::details(details, ""))?;
        }
        let command = Command::Edit { product: product.clone(), if_match, edit: Box::new(edit) };
        match self.submit(command, None).await? {
            Outcome::Edited(product) => Ok(*product),
            _ => Err(mismatched()),
        }
    }

    /// Deletes a product. What reservations hold of it stays theirs; its SKU is free again.
    ///
    /// # Errors
    /// [`ProductError::NotFound`], [`ProductError::VersionMismatch`], or the store's.
    pub async fn delete(&self, product: &ProductRef, if_match: Option<Vec<u64>>) -> Result<(), ProductError> {
        match self.submit(Command::Delete { product: product.clone(), if_match }, None).await? {
            Outcome::Deleted => Ok(()),
            _ => Err(mismatched()),
        }
    }

    /// Changes `on_hand`, with a reason.
    ///
    /// # Errors
    /// [`ProductError::NotFound`], [`ProductError::BelowAllocated`], [`ProductError::Invalid`], those of the key, or the
    /// store's.
    pub async fn adjust(
        &self,
        product: &ProductRef,
        new: NewAdjustment,
        keyed: Option<Keyed<(Adjustment, Product)>>,
    ) -> Result<Answered<(Adjustment, Product)>, ProductError> {
        valid(validate::adjustment(&new))?;
        let key = keyed.as_ref().map(|keyed| keyed.idempotency.key.clone());
        let command = Command::Adjust { product: product.clone(), new, keyed };
        match self.submit(command, key.as_ref()).await? {
            Outcome::Adjusted(adjusted) => Ok(*adjusted),
            _ => Err(mismatched()),
        }
    }

    /// A page of a product's adjustments, newest first.
    ///
    /// # Errors
    /// [`ProductError::NotFound`], or the store's.
    pub async fn adjustments(
        &self,
        product: &ProductRef,
        page: &PageRequest<AdjustmentId>,
    ) -> Result<Page<Adjustment>, ProductError> {
        let id = match product {
            ProductRef::Id(id) if page.after.is_some() => *id,
            _ => self.get(product).await?.id,
        };
        let rows = self.store().adjustments(id, page).await?;
        Ok(Page::from_overread(rows, page.limit, |adjustment| adjustment.id))
    }

    /// Makes or replaces the products of some rows, by SKU, in order, in one transaction: one outcome a row. A refused row
    /// does not stop the others. `dry_run`: says what would be done, and does nothing; the id of a product that would be made
    /// is then that of no product, and what the rows of other calls would do is not known.
    ///
    /// # Errors
    /// The store's; then no row is done.
    pub async fn import_batch(
        &self,
        rows: Vec<ImportRow>,
        dry_run: bool,
    ) -> Result<Vec<RowOutcome>, ProductError> {
        let command = Command::Import { rows };
        let outcome = if dry_run {
            let mut footprint = Footprint::default();
            command.add_to(&mut footprint);
            Ledger::new(self.load(&footprint).await?).decide(&command)?
        } else {
            self.submit(command, None).await?
        };
        match outcome {
            Outcome::Imported(outcomes) => Ok(outcomes),
            _ => Err(mismatched()),
        }
    }

    /// Takes all lines or none. `true` if that was done now; `false` for the stored reservation of the same request before.
    ///
    /// # Errors
    /// [`ProductError::InsufficientStock`] with every short line, [`ProductError::UnknownProducts`] with every line that
    /// cannot be ordered, [`ProductError::OtherLines`], [`ProductError::ReservationReleased`],
    /// [`ProductError::Invalid`], or the store's.
    pub async fn hold(&self, request: &HoldRequest) -> Result<(Reservation, bool), ProductError> {
        valid(validate::hold(request))?;
        match self.submit(Command::Hold { request: request.clone() }, None).await? {
            Outcome::Held(reservation, fresh) => Ok((reservation, fresh)),
            _ => Err(mismatched()),
        }
    }

    /// Settles reservations, one outcome a settlement, in order. Repeated, late or reordered settlements change nothing
    /// more.
    ///
    /// # Errors
    /// [`ProductError::Invalid`], those of the key, or the store's.
    pub async fn settle(
        &self,
        settlements: &[Settlement],
        keyed: Option<Keyed<Vec<SettleOutcome>>>,
    ) -> Result<Answered<Vec<SettleOutcome>>, ProductError> {
        valid(validate::settlements(settlements))?;
        let key = keyed.as_ref().map(|keyed| keyed.idempotency.key.clone());
        let command = Command::Settle { settlements: settlements.to_vec(), keyed };
        match self.submit(command, key.as_ref()).await? {
            Outcome::Settled(outcomes) => Ok(outcomes),
            _ => Err(mismatched()),
        }
    }

    /// A reservation. One whose time has come is shown as released.
    ///
    /// # Errors
    /// [`ProductError::NotFound`], or the store's.
    pub async fn reservation(&self, id: ReservationId) -> Result<Reservation, ProductError> {
        let footprint = Footprint { reservations: [id].into(), ..Footprint::default() };
        let mut snapshot = self.load(&footprint).await?;
        let reservation = snapshot.reservations.remove(&id).ok_or(ProductError::NotFound)?;
        Ok(shown(reservation, snapshot.now))
    }

    /// Reservations by id, one an id, in order; `None` if there is none. One whose time has come is shown as released.
    ///
    /// # Errors
    /// The store's.
    pub async fn find_reservations(
        &self,
        ids: &[ReservationId],
    ) -> Result<Vec<Option<Reservation>>, ProductError> {
        let footprint = Footprint { reservations: ids.iter().copied().collect(), ..Footprint::default() };
        let snapshot = self.load(&footprint).await?;
        let found = |id| Some(shown(snapshot.reservations.get(id)?.clone(), snapshot.now));
        Ok(ids.iter().map(found).collect())
    }

    /// A page of reservations, oldest first. One whose time has come is shown as released, and is in no list of held ones;
    /// a page may so have fewer rows than asked for before the end of the list.
    ///
    /// # Errors
    /// The store's.
    pub async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, ProductError> {
        let rows = self.store().reservations(query, page).await?;
        let mut found = Page::from_overread(rows, page.limit, |held| HeldKey(held.created_at, held.id));
        let now = self.now();
        found.data = found.data.into_iter().map(|reservation| shown(reservation, now)).collect();
        if let Some(state) = query.state {
            found.data.retain(|reservation| reservation.state == state);
        }
        Ok(found)
    }

    /// Whether there is enough of everything. An answer, not a promise. Lines of one product are judged together.
    ///
    /// From memory, unless a product is not there or it is not known what other instances have written to it. All that was
    /// committed before `as_of` is in the answer.
    ///
    /// # Errors
    /// [`ProductError::Invalid`], or the store's if a product has to be read from it.
    pub async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, ProductError> {
        valid(validate::lines(lines))?;
        let (view, now) = (self.view(), self.now());
        let mut out = Vec::with_capacity(lines.len());
        let Some(as_of) = view.as_of(now) else {
            out.extend(lines.iter().map(unknown));
            self.shared.engine.counters.missed(lines.len());
            let products: Vec<_> = lines.iter().map(|line| line.product.clone()).collect();
            let rows = self.rows_of(&products).await?;
            let available = complete(lines, &rows, &mut out);
            return Ok(StockCheck { available, as_of: now, lines: out });
        };
        let checked = view.check_into(lines, &mut out);
        if checked.misses == 0 {
            return Ok(StockCheck { available: checked.available, as_of, lines: out });
        }
        self.shared.engine.counters.missed(checked.misses);
        let missed = lines.iter().zip(&out).filter(|(_, answer)| answer.status == crate::LineStatus::Unknown);
        let missed: Vec<_> = missed.map(|(line, _)| line.product.clone()).collect();
        let epoch = view.epoch();
        let rows = self.rows_of(&missed).await?;
        let available = complete(lines, &rows, &mut out);
        view.fill(epoch, rows.into_iter().filter(|row| !row.is_deleted()));
        Ok(StockCheck { available, as_of, lines: out })
    }

    /// Products as the store has them.
    async fn rows_of(&self, products: &[ProductRef]) -> Result<Vec<ViewRow>, ProductError> {
        let snapshot = self.load(&footprint_of(products)).await?;
        Ok(snapshot.products.values().map(ViewRow::of).collect())
    }

    /// The stock view: what a check is answered from without waiting.
    pub fn view(&self) -> &StockView {
        &self.shared.engine.view
    }

    /// Deletes what is kept no longer: idempotency records and ended reservations. Returns how many rows went.
    ///
    /// # Errors
    /// The store's.
    pub async fn purge(&self) -> Result<u64, ProductError> {
        const STEP: usize = 1_000;
        let before = self.now().minus(self.shared.config.idempotency_ttl);
        let mut gone = 0;
        loop {
            let step = self.store().purge(before, STEP).await?;
            gone += step;
            if step == 0 {
                return Ok(gone);
            }
        }
    }

    /// Releases the held reservations whose time has come, now rather than within the next second. Returns how many there
    /// were at least.
    ///
    /// # Errors
    /// The store's.
    pub async fn expire(&self) -> Result<u64, ProductError> {
        let before = self.figures().expired;
        loop {
            let last = self.figures().expired;
            self.submit(Command::Expire, None).await?;
            let now = self.figures().expired;
            if now == last {
                return Ok(now - before);
            }
        }
    }

    /// Whether the store can be used now.
    ///
    /// # Errors
    /// The store's.
    pub async fn ping(&self) -> Result<(), ProductError> {
        Ok(self.store().ping().await?)
    }

    /// What the service knows of itself.
    pub fn figures(&self) -> ProductFigures {
        let queue = self.shared.config.combiner.queue.max(1);
        ProductFigures {
            view_products: self.view().len(),
            view_capacity: self.view().capacity(),
            view_fresh: self.view().as_of(self.now()).is_some(),
            waiting: queue.saturating_sub(self.shared.room.available_permits()),
            ..self.shared.engine.counters.figures()
        }
    }

    /// The time by the service's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Takes no more writes, ends the upkeep, and waits until what was handed over is done.
    pub async fn shutdown(&self) {
        if let Some(maintenance) = self.shared.maintenance.get() {
            maintenance.stop();
        }
        let all = u32::try_from(self.shared.config.combiner.queue.max(1)).unwrap_or(u32::MAX);
        // With all places taken nothing runs. They are never given back: there will be no more room.
        if let Ok(places) = self.shared.room.acquire_many(all).await {
            places.forget();
        }
        self.shared.room.close();
    }

    fn store(&self) -> &dyn ProductStore {
        self.shared.engine.store.as_ref()
    }

    async fn load(&self, footprint: &Footprint) -> Result<Snapshot, ProductError> {
        Ok(self.store().load(footprint).await?)
    }

    /// Hands a command to the batch that gathers now.
    async fn submit(&self, command: Command, key: Option<&IdempotencyKey>) -> Result<Outcome, ProductError> {
        let Shared { combiner, in_flight, room, config, .. } = self.shared.as_ref();
        let claim = match key {
            Some(key) => Some(in_flight.claim(key).ok_or(ProductError::KeyInFlight)?),
            None => None,
        };
        let no_room = || StoreError::new(StoreErrorKind::Unavailable, "wait for room in the queue");
        let place = match room.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match timeout(config.queue_wait, room.clone().acquire_owned()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_closed)) => return Err(no_room().with_source("the service has shut down").into()),
                Err(late) => return Err(no_room().with_source(late).into()),
            },
        };
        let job = Job { command, _claim: claim, _place: place };
        combiner.submit(job).await.unwrap_or_else(|gone| {
            Err(StoreError::new(StoreErrorKind::Unknown, "run a batch").with_source(gone).into())
        })
    }
}

fn footprint_of(products: &[ProductRef]) -> Footprint {
    let mut footprint = Footprint::default();
    for product in products {
        match product {
            ProductRef::Id(id) => drop(footprint.products.insert(*id)),
            ProductRef::Sku(sku) => drop(footprint.skus.insert(sku.clone())),
        }
    }
    footprint
}

/// A reservation as it is shown: released, if its time has come.
fn shown(mut reservation: Reservation, now: Timestamp) -> Reservation {
    if reservation.is_expired(now) {
        reservation.state = ReservationState::Released;
    }
    reservation
}
