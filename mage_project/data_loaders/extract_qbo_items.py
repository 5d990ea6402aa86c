from qbo_rs.mage import extract_qbo

extract_qbo_items = data_loader(extract_qbo("items"))
