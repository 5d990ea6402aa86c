from qbo_rs.mage import extract_qbo

extract_qbo_invoices = data_loader(extract_qbo("invoices"))
