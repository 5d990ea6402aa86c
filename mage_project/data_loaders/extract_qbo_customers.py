from qbo_rs.mage import extract_qbo

extract_qbo_customers = data_loader(extract_qbo("customers"))
