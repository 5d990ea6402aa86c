from qbo_rs.mage import load_postgres

load_postgres_invoices = data_exporter(load_postgres("invoices"))
