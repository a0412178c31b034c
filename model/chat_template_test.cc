#include "model/chat_template.h"

#include <gtest/gtest.h>

TEST(ChatTemplateTest, Builds) {}
