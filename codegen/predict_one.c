int NAME_predict(const uint8_t *item) {
    int32_t answer;
    NAME_predict_u8(item, 1, &answer);
    return answer;
}
