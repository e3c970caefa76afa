/// The stock view.
#[derive(Debug)]
pub struct StockView {}
