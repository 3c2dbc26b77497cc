# How clients come in: the role that they assume, what the server may do about it, and the custom authorizer.

data "aws_iam_policy_document" "server_trust" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.server_principal != "" ? var.server_principal : "arn:${local.partition}:iam::${local.account}:root"]
    }
  }
}

# The outer fence: session policies only ever narrow it.
data "aws_iam_policy_document" "fence" {
  statement {
    effect    = "Allow"
    actions   = ["iot:Connect"]
    resources = ["${local.iot}:client/${var.root}.*"]
  }

  statement {
    effect  = "Allow"
    actions = ["iot:Publish"]
    resources = [
      "${local.iot}:topic/${var.root}/put/*",
      "${local.iot}:topic/${var.root}/users/*",
      "${local.iot}:topic/${var.root}/spaces/*",
      "${local.iot}:topic/${var.root}/outbox/*",
    ]
  }

  statement {
    effect  = "Allow"
    actions = ["iot:Subscribe"]
    resources = [
      "${local.iot}:topicfilter/${var.root}/users/*",
      "${local.iot}:topicfilter/${var.root}/spaces/*",
      "${local.iot}:topicfilter/${var.root}/outbox/*",
      "${local.iot}:topicfilter/${var.root}/inbox/*",
      "${local.iot}:topicfilter/${var.root}/sync/*",
      "${local.iot}:topicfilter/${var.root}/reply/*",
    ]
  }

  statement {
    effect  = "Allow"
    actions = ["iot:Receive"]
    resources = [
      "${local.iot}:topic/${var.root}/users/*",
      "${local.iot}:topic/${var.root}/spaces/*",
      "${local.iot}:topic/${var.root}/outbox/*",
      "${local.iot}:topic/${var.root}/inbox/*",
      "${local.iot}:topic/${var.root}/sync/*",
      "${local.iot}:topic/${var.root}/reply/*",
    ]
  }
}

resource "aws_iam_role" "client" {
  name                 = "${var.root}-client-${local.region}"
  description          = "Clients of Tidemark below ${var.root}/: the outer fence around their session policies"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.server_trust.json
  tags                 = local.tags
}

resource "aws_iam_role_policy" "fence" {
  name   = "fence"
  role   = aws_iam_role.client.id
  policy = data.aws_iam_policy_document.fence.json
}

# The bridge takes in what clients publish, by shared subscriptions, says what the log has, and hears who comes and goes.
data "aws_iam_policy_document" "bridge_fence" {
  statement {
    effect    = "Allow"
    actions   = ["iot:Connect"]
    resources = ["${local.iot}:client/svc.${var.root}.*"]
  }

  statement {
    effect  = "Allow"
    actions = ["iot:Subscribe"]
    resources = [
      "${local.iot}:topicfilter/$share/tidemark/${var.root}/*",
      "${local.iot}:topicfilter/$aws/events/*",
    ]
  }

  statement {
    effect  = "Allow"
    actions = ["iot:Receive"]
    resources = [
      "${local.iot}:topic/${var.root}/*",
      "${local.iot}:topic/$aws/events/*",
    ]
  }

  statement {
    effect  = "Allow"
    actions = ["iot:Publish"]
    resources = [
      "${local.iot}:topic/${var.root}/sync/*",
      "${local.iot}:topic/${var.root}/reply/*",
      "${local.iot}:topic/${var.root}/users/*",
      "${local.iot}:topic/${var.root}/spaces/*",
      "${local.iot}:topic/${var.root}/outbox/*",
      "${local.iot}:topic/${var.root}/inbox/*",
    ]
  }
}

resource "aws_iam_role" "bridge" {
  name                 = "${var.root}-bridge-${local.region}"
  description          = "The bridge of Tidemark below ${var.root}/: the outer fence around its session policies"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.server_trust.json
  tags                 = local.tags
}

resource "aws_iam_role_policy" "bridge_fence" {
  name   = "fence"
  role   = aws_iam_role.bridge.id
  policy = data.aws_iam_policy_document.bridge_fence.json
}

data "aws_iam_policy_document" "server" {
  statement {
    sid       = "Admit"
    effect    = "Allow"
    actions   = ["sts:AssumeRole"]
    resources = [aws_iam_role.client.arn, aws_iam_role.bridge.arn]
  }

  statement {
    sid       = "Revoke"
    effect    = "Allow"
    actions   = ["iot:DeleteConnection"]
    resources = ["${local.iot}:client/${var.root}.*"]
  }

  dynamic "statement" {
    for_each = aws_sqs_queue.ingest

    content {
      sid       = "Ingest"
      effect    = "Allow"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = aws_sqs_queue.dead_letter

    content {
      sid       = "PutAside"
      effect    = "Allow"
      actions   = ["sqs:SendMessage"]
      resources = [statement.value.arn]
    }
  }
}

resource "aws_iam_policy" "server" {
  name        = "${var.root}-server-${local.region}"
  description = "What the Tidemark server of ${var.root} may do"
  policy      = data.aws_iam_policy_document.server.json
  tags        = local.tags
}

resource "aws_cloudwatch_log_group" "authorizer" {
  count             = local.has_authorizer ? 1 : 0
  name              = "/aws/lambda/${var.root}-authorizer"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

data "aws_iam_policy_document" "authorizer_trust" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "log" {
  statement {
    effect    = "Allow"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.root}-authorizer:*"]
  }
}

resource "aws_iam_role" "authorizer" {
  count              = local.has_authorizer ? 1 : 0
  name               = "${var.root}-authorizer-${local.region}"
  description        = "The custom authorizer of ${var.root}: its log only"
  assume_role_policy = data.aws_iam_policy_document.authorizer_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "log" {
  count  = local.has_authorizer ? 1 : 0
  name   = "log"
  role   = aws_iam_role.authorizer[0].id
  policy = data.aws_iam_policy_document.log.json
}

data "archive_file" "authorizer" {
  type        = "zip"
  source_file = "${path.module}/authorizer.mjs"
  output_path = "${path.module}/authorizer.zip"
}

resource "aws_lambda_function" "authorizer" {
  count            = local.has_authorizer ? 1 : 0
  function_name    = "${var.root}-authorizer"
  description      = "The custom authorizer of Tidemark below ${var.root}/"
  runtime          = "nodejs22.x"
  architectures    = ["arm64"]
  handler          = "authorizer.handler"
  memory_size      = 256
  timeout          = 5
  role             = aws_iam_role.authorizer[0].arn
  filename         = data.archive_file.authorizer.output_path
  source_code_hash = data.archive_file.authorizer.output_base64sha256
  tags             = local.tags

  environment {
    variables = {
      IOT_ROOT        = var.root
      IOT_ACCOUNT     = local.account
      IOT_TOKEN_KEY   = var.token_key_name
      BROKER_ISSUER   = var.broker_issuer
      BROKER_AUDIENCE = var.broker_audience
      BROKER_JWKS     = var.broker_jwks
    }
  }

  depends_on = [aws_cloudwatch_log_group.authorizer]
}

resource "aws_iot_authorizer" "authorizer" {
  count                   = local.has_authorizer ? 1 : 0
  name                    = "${var.root}-authorizer"
  authorizer_function_arn = aws_lambda_function.authorizer[0].arn
  status                  = var.authorizer_status
  signing_disabled        = false
  token_key_name          = var.token_key_name

  # The names tell nobody anything: AWS tries them all.
  token_signing_public_keys = merge(
    { first = var.token_signing_key },
    var.second_token_signing_key == "" ? {} : { second = var.second_token_signing_key },
  )
}

resource "aws_lambda_permission" "authorizer" {
  count         = local.has_authorizer ? 1 : 0
  function_name = aws_lambda_function.authorizer[0].arn
  action        = "lambda:InvokeFunction"
  principal     = "iot.amazonaws.com"
  source_arn    = "${local.iot}:authorizer/${var.root}-authorizer"
}
