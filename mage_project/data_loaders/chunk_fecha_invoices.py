from qbo_rs.mage import chunk_fecha

chunk_fecha_invoices = data_loader(chunk_fecha("invoices"))
